"""How many nodes with how many devices a blueprint is to run on, and the command that each process is."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from groundup.errors import GroundupError

PORT = 29_500  # torch's own default


@dataclass(frozen=True)
class Cluster:
    """One job: `nodes` machines, a process for each of `per_node` devices."""

    name: str
    blueprint: str
    """As it is named on the nodes."""
    nodes: int
    per_node: int
    layout: str
    """The blueprint's `parallel`, for the comment at the top."""
    overrides: Sequence[str] = field(default_factory=tuple)
    run: str | None = None
    """The run folder; None: runs/<name>."""
    image: str = "registry.example.org/groundup:latest"
    """A container with groundup in it, on Kubernetes."""

    @property
    def processes(self) -> int:
        return self.nodes * self.per_node

    @property
    def command(self) -> list[str]:
        """`groundup run ...`, word by word."""
        words = ["groundup", "run", self.blueprint]
        for override in self.overrides:
            words += ["--set", override]
        return words + (["--run", self.run] if self.run else [])

    @property
    def line(self) -> str:
        """The command as a shell takes it."""
        return shlex.join(self.command)

    @property
    def label(self) -> str:
        """The name as Kubernetes takes it: small letters, digits and -."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40] or "groundup"

    @property
    def summary(self) -> str:
        """`2 nodes x 8 devices = 16 processes, for parallel: {dp_shard: 16}`."""
        nodes = f"{self.nodes} node{'s' * (self.nodes > 1)}"
        devices = f"{self.per_node} device{'s' * (self.per_node > 1)}"
        return f"{nodes} x {devices} = {self.processes} processes, for parallel: {self.layout}"


def spread(processes: Mapping[str, int], nodes: int, per_node: int | None) -> int:
    """Devices on each node for a blueprint whose stages ask for so many processes.

    Raises:
        GroundupError: the nodes don't make as many processes as the blueprint asks for.
    """
    stage = max(processes, key=lambda name: processes[name])
    wanted = processes[stage]
    if per_node is None:
        per_node = max(1, wanted // nodes)
    if nodes * per_node != wanted:
        raise GroundupError(
            f"{nodes} x {per_node} are {nodes * per_node} processes, and {stage} asks for {wanted}",
            where="parallel",
            do=f"make parallel's degrees multiply to {nodes * per_node}, for instance with "
            f"`--set parallel.dp_shard={nodes * per_node}`, or change --nodes and --gpus-per-node",
        )
    return per_node
