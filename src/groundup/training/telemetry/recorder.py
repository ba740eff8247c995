"""What a training loop records of its steps.

    metrics.jsonl     always: loss, learning rate, gradient norm, speed, memory and MFU
    layers.jsonl      `telemetry.layers`: statistics of each layer every so many steps
    profile/          `telemetry.profile`: a trace of a few steps
    tensorboard/ ...  for other programs

None of it changes a bit of what is trained. The files lie next to the loop's checkpoints; `publish` copies them to a
stage's records.

MFU is model FLOPs utilisation (PaLM, arXiv 2204.02311, appendix B): the FLOPs that the batch's own tokens need, without
padding and recomputation, per second, over the FLOP/s that this machine reaches in matmuls. That ceiling is measured;
where it was not, there is no MFU.
"""

import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from groundup.artifacts import MetricsLog
from groundup.errors import GroundupError
from groundup.parallel.engine import Engine
from groundup.training.configuration import TelemetryConfig
from groundup.training.telemetry.ceiling import matmul_ceiling
from groundup.training.telemetry.layers import LayerWatch
from groundup.training.telemetry.profile import Profile
from groundup.training.telemetry.sinks import open_sinks

METRICS, LAYERS, PROFILE = "metrics.jsonl", "layers.jsonl", "profile"
MEASURED = ("seconds", "tokens_per_second", "pairs_per_second", "mfu", "peak_rss_bytes", "cuda_peak_bytes",
            "cuda_reserved_bytes")  # fmt: skip
"""The columns that differ from run to run."""

Flops = Callable[[Any], float]  # a micro-batch -> FLOPs, forward and backward, that its own tokens need


class Telemetry:
    """Writes the rows of one loop. Use as a context manager: what was begun is finished whatever happens."""

    def __init__(
        self,
        config: TelemetryConfig | None,
        engine: Engine,
        metrics_path: Path,
        *,
        title: str,
        steps: int,
        resume_at: int = 0,
        settings: Mapping[str, Any] | None = None,
        flops: Flops | None = None,
    ) -> None:
        """Measure the ceiling and open what the blueprint asks for.

        Args:
            config: None: the defaults.
            metrics_path: other files are written next to it.
            steps: of the whole plan.
            settings: the training configuration, for programs that display it.
            flops: without it there is no MFU.

        Raises:
            GroundupError: something asked for is missing: a package, a step to profile, an engine's layers.
        """
        self.config = config or TelemetryConfig()
        self.engine, self.folder = engine, metrics_path.parent
        self._metrics_path, self._flops = metrics_path, flops
        self._processes, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        self._layers = LayerWatch(engine) if self.config.layers else None
        self._profile = None
        if self.config.profile:
            if self.config.profile.start > steps:
                raise GroundupError(
                    f"there is no step {self.config.profile.start} of {title}",
                    where="telemetry.profile",
                    do=f"give one from 1 to {steps}",
                )
            self._profile = Profile(self.config.profile, engine.device, self.folder / PROFILE, rank)
        self.ceiling = None  # FLOP/s of one process
        if flops is not None and self.config.mfu and resume_at < steps:
            self.ceiling = matmul_ceiling(engine.device, engine.dtype)
        self._files = ExitStack()
        self._sinks = []
        if engine.leader:
            shown = {"steps": steps, **(settings or {})}
            self._sinks = open_sinks(self.config, self.folder, title=title, resume_at=resume_at, settings=shown)
        self._seconds, self._watched = 0.0, False
        self.resume(resume_at)

    def resume(self, step: int) -> None:
        """Continue after `step` steps; rows of later ones are dropped."""
        self._files.close()
        self._metrics = self._layer_rows = None
        if self.engine.leader:
            self._metrics = self._opened(self._metrics_path, step)
            self._layer_rows = self._opened(self.folder / LAYERS, step) if self._layers else None

    def _opened(self, path: Path, step: int) -> MetricsLog:
        log = MetricsLog(path, resume_at=step)
        self._files.callback(log.close)
        return log

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Within it: the training step `number`, counted from 1, from its batch on."""
        with ExitStack() as watching:
            if self._profile:
                watching.enter_context(self._profile.step(number))
            self._watched = self._layers is not None and number % (self.config.layers or 1) == 0
            if self._layers and self._watched:
                watching.enter_context(self._layers.step())
            began = time.perf_counter()
            yield
            self._seconds = time.perf_counter() - began

    def measured(self, unit: str, batches: Sequence[Any], weights: Sequence[float], weight: float) -> dict[str, float]:
        """Units a second of the step just taken, its MFU, and the peak memory so far.

        Args:
            batches: this process's micro-batches, with their weights.
            weight: of all processes' micro-batches; the FLOPs are scaled up to it.
        """
        row: dict[str, float] = {f"{unit}_per_second": round(weight / self._seconds, 1)}
        if self.ceiling and self._flops is not None and sum(weights):
            flops = sum(map(self._flops, batches)) * weight / sum(weights)
            row["mfu"] = round(flops / self._seconds / (self.ceiling * self._processes), 4)
        return row | memory(self.engine.device)

    def write(self, step: int, row: Mapping[str, Any]) -> None:
        """Write a step's row, and its layers' rows where they were watched; every process calls it."""
        if self._metrics:
            self._metrics.write(step, **row)
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, (int, float))}
        if self._layers and self._watched:
            for layer in self._layers.rows():
                if self._layer_rows:
                    self._layer_rows.write(step, **layer)
                of = {name: value for name, value in layer.items() if name != "layer" and value is not None}
                numbers |= {f"layers/{layer['layer']}/{name}": value for name, value in of.items()}
        self._watched = False
        for sink in self._sinks:
            sink.write(step, numbers)

    def __enter__(self) -> "Telemetry":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
        if self._profile:
            self._profile.close()
        for sink in self._sinks:
            sink.close()


def memory(device: torch.device) -> dict[str, int]:
    """Peak bytes of this process so far; on a GPU also the peak of its tensors and what is reserved."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak_rss_bytes": peak if sys.platform == "darwin" else peak * 1024}
    if device.type == "cuda":
        found["cuda_peak_bytes"] = torch.cuda.max_memory_allocated(device)
        found["cuda_reserved_bytes"] = torch.cuda.memory_reserved(device)
    return found


def publish(folder: Path, records: Path) -> None:
    """Copy what telemetry wrote into a stage's records."""
    shutil.copy(folder / METRICS, records / METRICS)
    if (folder / LAYERS).is_file():
        shutil.copy(folder / LAYERS, records / LAYERS)
    for name in (PROFILE, "tensorboard", "wandb"):
        if (folder / name).is_dir():
            shutil.copytree(folder / name, records / name, ignore=_links)


def _links(folder: str, names: list[str]) -> list[str]:
    """Wandb's symbolic links (to its newest run and logs): the targets are copied already, or lie elsewhere."""
    return [name for name in names if (Path(folder) / name).is_symlink()]
