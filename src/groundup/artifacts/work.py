"""What a stage is handed: a folder to fill, a folder for checkpoints, and a way to report progress."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.artifacts.manifest import RECORDS
from groundup.progress import Progress, Silent

Figures = dict[str, Any]  # JSON-ready: numbers, strings, lists and dictionaries of them


@dataclass(frozen=True)
class Work:
    """The surroundings of one stage.

    A stage is `stage(config, inputs: Mapping[str, Artifact], work: Work) -> Figures`. It writes its result into
    `out`, which is new and empty whenever the stage starts, and what only records how it went into `records`.
    `keep` outlives a kill: a stage that takes long saves checkpoints there and looks there first.
    """

    out: Path
    keep: Path
    seed: int
    base: Path = field(default_factory=Path.cwd)  # the blueprint's folder: relative paths start here
    progress: Progress = field(default_factory=Silent)
    run: Path | None = None  # the run's folder, for the report alone: other stages see nothing but their inputs

    @property
    def records(self) -> Path:
        folder = self.out / RECORDS
        folder.mkdir(parents=True, exist_ok=True)
        return folder
