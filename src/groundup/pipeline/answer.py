"""How a stage's process tells what went wrong: what a person can mend, as the parts of a GroundupError."""

import sys
from typing import Any

from groundup.artifacts import durable
from groundup.errors import GroundupError
from groundup.pipeline.request import Request


def answer_to(request: Request, error: BaseException) -> dict[str, Any] | None:
    """`{"what", "where", "do"}` of an error that somebody foresaw; None: it is a mistake in groundup."""
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
    """Whether it says so in Python's way or in torch's types and words."""
    torch: Any = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )
