"""Other programs that show curves: TensorBoard, Weights & Biases, trackio.

Each is an extra, imported only where a blueprint asks for it. Everything they are given is in `metrics.jsonl` and
`layers.jsonl` as well. They write to this machine alone, unless the blueprint (or the variables by which a person sets
up the program itself) says otherwise.
"""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from groundup.errors import GroundupError
from groundup.training.configuration import TelemetryConfig, TrackioConfig, WandbConfig

Numbers = Mapping[str, float]


class Sink(Protocol):
    """Where numbers go besides the files."""

    def write(self, step: int, numbers: Numbers) -> None:
        """Record the numbers of a step, counted from 1."""

    def close(self) -> None:
        """Finish; all that was recorded is on the disk then."""


def open_sinks(
    config: TelemetryConfig, folder: Path, *, title: str, resume_at: int, settings: Mapping[str, Any]
) -> list[Sink]:
    """The sinks that a blueprint asks for.

    Args:
        folder: where they may keep files; a resumed stage gives the same one.
        title: of the run, the stage's name.
        resume_at: steps that were done before.
        settings: what is trained with, for those that show it.

    Raises:
        GroundupError: a package is missing, or the program refuses.
    """
    sinks: list[Sink] = []
    if config.tensorboard:
        sinks.append(TensorBoard(folder / "tensorboard", resume_at))
    if config.wandb:
        sinks.append(Wandb(config.wandb, folder / "wandb", title, settings))
    if config.trackio:
        sinks.append(Trackio(config.trackio, title, settings))
    return sinks


class TensorBoard:
    """Event files; `tensorboard --logdir RUN/artifacts` finds them, also while the stage works."""

    def __init__(self, folder: Path, resume_at: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard") from error
        self._writer: Any = SummaryWriter(folder, purge_step=resume_at + 1)

    def write(self, step: int, numbers: Numbers) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """A run of Weights & Biases; offline it is kept in `folder`, for `wandb sync`."""

    def __init__(self, config: WandbConfig, folder: Path, title: str, settings: Mapping[str, Any]) -> None:
        if config.mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else it reports its own errors to its makers
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb") from error
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=config.project,
                entity=config.entity,
                name=config.name or title,
                mode=config.mode,
                id=_run_id(folder / "id"),
                resume="allow" if config.mode == "online" else None,
                dir=str(folder),
                config=dict(settings),
                settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
            )
            self._run.define_metric("*", step_metric="step")  # a run that returned to a checkpoint logs a step twice
        except wandb.errors.Error as error:
            raise GroundupError(
                f"wandb: {error}", where="telemetry.wandb", do="`wandb login`, or mode: offline"
            ) from error

    def write(self, step: int, numbers: Numbers) -> None:
        self._run.log({"step": step, **numbers})

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """A run of trackio, in its own folder (TRACKIO_DIR), where `trackio show` looks for it, or on a Space."""

    def __init__(self, config: TrackioConfig, title: str, settings: Mapping[str, Any]) -> None:
        if config.space is None and not {"TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"} & os.environ.keys():
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it would ask Hugging Face who is logged in
        try:
            import trackio
        except ImportError as error:
            raise _missing("trackio") from error
        self._run: Any = trackio.init(
            project=config.project,
            name=config.name or title,
            space_id=config.space,
            config={name: value for name, value in settings.items() if not name.startswith("_")},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def write(self, step: int, numbers: Numbers) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


def _run_id(path: Path) -> str:
    """The same for a resumed stage."""
    if not path.is_file():
        path.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _missing(name: str) -> GroundupError:
    return GroundupError(
        f"{name} is not installed", where=f"telemetry.{name}", do=f"pip install 'groundup[{name}]', or leave it out"
    )
