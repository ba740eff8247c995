"""What a stage's process is asked to make; it goes there as a pickle."""

from dataclasses import dataclass
from pathlib import Path

from groundup.artifacts import StageKey
from groundup.parallel.configuration import ParallelConfig
from groundup.section import Section


@dataclass(frozen=True)
class Request:
    """One stage to be made."""

    run: Path
    function: str
    sources: str | None
    config: Section
    key: StageKey
    inputs: dict[str, Path]
    base: Path
    started: float  # time.time() at which the parent began, so that the start of the process is counted in
    afresh: bool  # leave out what an earlier try kept
    sees_run: bool
    silent: bool

    @property
    def parallel(self) -> ParallelConfig | None:
        """How a training stage is spread; None: it is made by one process."""
        found = getattr(self.config, "parallel", None)
        return found if isinstance(found, ParallelConfig) and found.processes > 1 else None

    @property
    def processes(self) -> int:
        return self.parallel.processes if self.parallel else 1

    def rank_log(self, rank: int) -> Path:
        """Of one of the ranks that make the stage together."""
        return self.run / "log" / self.key.stage / f"rank-{rank}.log"
