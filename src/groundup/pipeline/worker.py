"""The process in which one stage runs: `python -P -m groundup.pipeline.worker RESULT`.

It leads a process group of its own. Its standard input carries the pickled `Request` and then stays open for as long
as the parent lives; when the parent is gone, however it went, the whole group is killed. The answer, one line of
JSON, goes to the file descriptor RESULT. Standard error is the stage's log.
"""

import faulthandler
import json
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Manifest, Measured, StageKey, Store, Work, durable
from groundup.errors import GroundupError
from groundup.pipeline.lazy import function
from groundup.pipeline.memory import PeakMemory
from groundup.pipeline.provenance import provenance
from groundup.progress import Silent, for_terminal
from groundup.section import Section

PREDECESSOR_ENDS_WITHIN = 20.0  # seconds: the worker of a run that was killed a moment ago may still hold the lock


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


def build(request: Request) -> Artifact:
    """Make and publish the artifact.

    Raises:
        GroundupError: another process works on the stage, an input has changed since it was published, a source
            changed while it was read, or the stage itself says so.
    """
    memory = PeakMemory()
    store, key = Store(request.run), request.key
    with store.lock(key.stage, wait=PREDECESSOR_ENDS_WITHIN):
        inputs = {name: Artifact(path, Manifest.read(path)) for name, path in request.inputs.items()}
        for artifact in inputs.values():
            artifact.verify()
        if request.afresh:
            store.discard(key, keep=False)
        out, keep = store.begin(key)
        resumed = any(keep.iterdir())
        try:
            work = Work(
                out=out,
                keep=keep,
                seed=key.seed,
                base=request.base,
                progress=Silent() if request.silent else for_terminal(),
                run=request.run if request.sees_run else None,
            )
            figures = function(request.function)(request.config, inputs, work)
            _check_sources(request)
            # Taken before the digests and the fsync, which every stage pays alike.
            measured = Measured(time.time() - request.started, memory.bytes)
            made = provenance() | {
                "started": _utc(request.started),
                "ended": _utc(time.time()),
                "resumed": resumed,
                "inputs": {name: path.name for name, path in request.inputs.items()},
            }
            return store.publish(key, figures, measured, made)
        except BaseException:
            store.discard(key)
            raise


def _check_sources(request: Request) -> None:
    """The key names the sources as they were before; the artifact must be of the same."""
    if request.sources:
        now = function(request.sources)(request.config, request.base, request.run / "artifacts" / ".digests")
        changed = sorted(name for name, digest in now.items() if request.key.sources.get(name) != digest)
        if changed:
            raise GroundupError("changed while it was read", where=changed[0], do="run again")


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _memory_ran_out(error: Exception) -> bool:
    """Whether it says so in Python's way or in torch's types and words."""
    torch: Any = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _answer(request: Request) -> dict[str, Any]:
    """What to tell the parent; an error that nobody foresaw is left to Python, which writes it to the log."""
    try:
        return {"artifact": build(request).path.name}
    except GroundupError as error:
        return {"what": error.what, "where": error.where, "do": error.do}
    except Exception as error:
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
        raise


def _die_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever sent: this returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Returns the exit status: 0 when an answer was given, 130 when interrupted."""
    result = int(sys.argv[1])
    os.set_inheritable(result, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # drawing bars from the background is meant
    faulthandler.enable()
    try:
        with os.fdopen(os.dup(0), "rb") as parent:
            request = pickle.load(parent)
        threading.Thread(target=_die_with_parent, daemon=True).start()
        answer = _answer(request)
    except KeyboardInterrupt:
        return 130
    os.write(result, json.dumps(answer).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
