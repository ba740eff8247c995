"""The job that this process was started in, if any: by torchrun, SLURM, or Kubernetes.

A job is a number of processes started with the same command, one per device. The launcher passes each its rank in
environment variables:

    torchrun                RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT
    a PyTorchJob's pods     RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT: one process in each, unless they call torchrun
    srun                    SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST

No torch: `groundup run` asks this before anything else.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

from groundup.errors import GroundupError
from groundup.machine import usable_cores

SLURM_PORTS = range(20_000, 30_000)  # where a job's port lies when nobody chose one: the job's number decides
OF_A_JOB = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"  # torch: whether MASTER_PORT is served by whoever started the process


@dataclass(frozen=True)
class Job:
    """One process's rank among those that were started together."""

    rank: int
    size: int
    local_rank: int  # among those on this machine
    local_size: int
    address: str  # of the machine with rank 0
    port: int
    served: bool = False
    """Whether somebody listens on the port already (torchrun's agent); else rank 0 is to."""
    attempt: int = 0
    """How often the job has been started again."""

    def environment(self) -> dict[str, str]:
        """The variables by which torch finds this rank, and those that keep ranks on one machine apart.

        Each rank compiles into a folder of its own: ranks of a tensor-parallel model that share one train wrongly as
        soon as it is filled (pytorch#188390). Cores are divided evenly, unless GROUNDUP_THREADS gives the number of
        threads per process.
        """
        cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or _inductor_folder()
        threads = os.environ.get("GROUNDUP_THREADS") or str(threads_of_a_rank(self.local_size))
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
            AGENT_STORE: str(self.served),
            "TORCHINDUCTOR_CACHE_DIR": os.path.join(cache, f"rank-{self.rank}"),  # noqa: PTH118
            "GROUNDUP_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }

    def at(self, address: str, port: int, size: int) -> "Job":
        """The same rank among the first `size` processes, with a store that is served at another port."""
        return replace(self, address=address, port=port, size=size, served=True)


def find(environment: Mapping[str, str] = os.environ) -> Job | None:
    """The job that this process is part of; None where there is none.

    Raises:
        GroundupError: the variables are there in part, or are no numbers.
    """
    try:
        job = _torchrun(environment) or _slurm(environment)
    except KeyError as error:
        raise GroundupError(
            f"{error.args[0]} is not set, though RANK is: this is half of a job",
            do="start groundup with torchrun or srun, or unset RANK (`groundup launch` writes such scripts)",
        ) from error
    except ValueError as error:
        raise GroundupError(f"a variable of the job is no number ({error})", do="see `groundup launch`") from error
    return job if job is not None and job.size > 1 else None


def without_job(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that takes no part in the job."""
    return {name: value for name, value in environment.items() if name not in (*OF_A_JOB, AGENT_STORE)}


def threads_of_a_rank(local_size: int) -> int:
    """Threads for one of `local_size` processes on this machine."""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")  # SLURM has bound the process to its own cores already
    return int(given) if given.isdecimal() else max(1, usable_cores() // local_size)


def _torchrun(environment: Mapping[str, str]) -> Job | None:
    if "RANK" not in environment:
        return None
    return Job(
        rank=int(environment["RANK"]),
        size=int(environment["WORLD_SIZE"]),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", 1)),
        address=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        served=environment.get(AGENT_STORE) == "True",
        attempt=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
    )


def _slurm(environment: Mapping[str, str]) -> Job | None:
    """Only inside srun: a batch script has SLURM_PROCID too, and is no part of a job."""
    size = environment.get("SLURM_STEP_NUM_TASKS") or (
        environment.get("SLURM_NTASKS") if "SLURM_STEP_ID" in environment else None
    )
    if "SLURM_PROCID" not in environment or size is None:
        return None
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or "localhost"
    number = int(environment.get("SLURM_JOB_ID", 0))
    local = _tasks_here(environment)
    return Job(
        rank=int(environment["SLURM_PROCID"]),
        size=int(size),
        local_rank=0 if _sees_one_device(environment) else int(environment.get("SLURM_LOCALID", 0)),
        local_size=local,
        address=environment.get("MASTER_ADDR") or first_host(nodes),
        port=int(environment.get("MASTER_PORT") or SLURM_PORTS[number % len(SLURM_PORTS)]),
        attempt=int(environment.get("SLURM_RESTART_COUNT", 0)),
    )


def _sees_one_device(environment: Mapping[str, str]) -> bool:
    """Whether SLURM shows each task a GPU of its own (`--gpus-per-task=1`), whose number then is 0."""
    return len(environment.get("CUDA_VISIBLE_DEVICES", "0,1").split(",")) == 1


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Tasks on this node, from `4(x2),3`: 4 on each of two nodes, 3 on the third."""
    counts: list[int] = []
    for part in (environment.get("SLURM_STEP_TASKS_PER_NODE") or "1").split(","):
        count, _, times = part.rstrip(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    node = int(environment.get("SLURM_NODEID", 0))
    return counts[node] if node < len(counts) else counts[0]


def first_host(nodes: str) -> str:
    """The first of a SLURM node list: `gpu01` of `gpu[01-04,7],cpu3`, `a1` of `a1,a2`."""
    found = re.match(r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,\[\]]*)", nodes)
    if found is None:
        return nodes
    stem, ranges, rest = found.groups()
    return stem + (re.split("[-,]", ranges)[0] if ranges else "") + rest


def _inductor_folder() -> str:
    """A folder of this user's, next to torch's own choice, `torchinductor_<user>`."""
    return os.path.join(tempfile.gettempdir(), f"groundup-inductor-{os.getuid()}")  # noqa: PTH118
