"""What a stage's process is sent, as a pickle, and the error that it sends back, as JSON."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts import StageKey, durable
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.section import Section


@dataclass(frozen=True)
class StageRequest:
    """One stage to be made."""

    run: Path
    function: str
    sources: str | None
    config: Section
    key: StageKey
    inputs: dict[str, Path]
    base: Path
    started: float  # time.time() at which the parent began, so that the start of the process is counted in
    afresh: bool  # ignore what an earlier try kept
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


def error_message(request: StageRequest, error: BaseException) -> dict[str, Any] | None:
    """`{"what", "where", "do"}` of an expected error; None for any other one, which is a bug in groundup."""
    if isinstance(error, GroundupError):
        return {"what": error.what, "where": error.where, "do": error.do}
    if durable.is_disk_error(error):
        cause = error if isinstance(error, OSError) else OSError(str(error))
        full = durable.disk_error(cause, request.run)
        return {"what": full.what, "where": full.where, "do": full.do}
    if _memory_ran_out(error):
        return {
            "what": f"{request.key.stage} ran out of memory",
            "where": None,
            "do": "close other programs, or choose a smaller size or batch, then run again",
        }
    return None


def _memory_ran_out(error: BaseException) -> bool:
    """Whether Python or torch (by type or message) reports that memory ran out."""
    torch: Any = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
