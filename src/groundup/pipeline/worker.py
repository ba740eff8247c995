"""The process in which one stage runs: `python -P -m groundup.pipeline.worker RESULT`.

It leads a process group of its own. Its standard input carries the pickled `StageRequest` and then stays open for
as long as the parent lives; when the parent is gone, however it went, the whole group is killed. The answer, one line
of JSON, goes to the file descriptor RESULT. Standard error is the stage's log.
"""

import faulthandler
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from groundup.artifacts import Artifact, Manifest, Measured, Store, Work
from groundup.errors import GroundupError
from groundup.lazy import load
from groundup.pipeline.local_ranks import run_local_ranks
from groundup.pipeline.memory import PeakMemory
from groundup.pipeline.messages import StageRequest, error_message
from groundup.pipeline.provenance import provenance
from groundup.pipeline.rank import follow, hanging, head, in_a_job, take_part
from groundup.progress import Silent, for_terminal

PREDECESSOR_ENDS_WITHIN = 20.0  # seconds: the worker of a run that was killed a moment ago may still hold the lock


def build(request: StageRequest, hangs: Callable[[str], None]) -> Artifact:
    """Make and publish the artifact.

    Args:
        hangs: called with a description when the processes of a job wait for each other in vain; must end this one.

    Raises:
        GroundupError: another process works on the stage, an input has changed since it was published, a source
            changed while it was read, or the stage itself failed.
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
            progress = Silent() if request.silent else for_terminal()
            if request.parallel is None:
                run = request.run if request.sees_run else None
                work = Work(out, keep, key.seed, request.base, progress, run)
                figures, made_by = load(request.function)(request.config, inputs, work), provenance()
            elif in_a_job():
                head(0, request.processes)
                figures, made_by = take_part(request, out, keep, hangs), provenance()
            else:
                made = run_local_ranks(request, out, keep, progress)
                figures, made_by = made["figures"], made["provenance"]
            _check_sources(request)
            # Measured before the digests and the fsync, which every stage has.
            measured = Measured(time.time() - request.started, memory.bytes)
            made_by |= {
                "processes": request.processes,
                "started": _utc(request.started),
                "ended": _utc(time.time()),
                "resumed": resumed,
                "inputs": {name: path.name for name, path in request.inputs.items()},
            }
            return store.publish(key, figures, measured, made_by)
        except BaseException:
            store.discard(key)
            raise


def _check_sources(request: StageRequest) -> None:
    """The key names the sources as they were before; the artifact must be of the same."""
    if request.sources:
        now = load(request.sources)(request.config, request.base, request.run / "artifacts" / ".digests")
        changed = sorted(name for name, digest in now.items() if request.key.sources.get(name) != digest)
        if changed:
            raise GroundupError("changed while it was read", where=changed[0], do="run again")


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _answer(request: StageRequest, hangs: Callable[[str], None]) -> dict[str, Any]:
    """The answer to the parent; an unexpected error is left to Python, which writes it to the log."""
    try:
        if in_a_job() and os.environ["RANK"] != "0":
            follow(request, hangs)
            return {"artifact": ""}
        return {"artifact": build(request, hangs).path.name}
    except Exception as error:
        answer = error_message(request, error)
        if answer is None:
            raise
        return answer


def _die_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever sent: this returns when the other end is closed
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Returns the exit status: 0 when an answer was given, 130 when interrupted."""
    result = int(sys.argv[1])
    os.set_inheritable(result, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # drawing bars from the background is intended
    faulthandler.enable()

    def send(answer: Mapping[str, Any]) -> None:
        os.write(result, json.dumps(answer).encode())

    def hangs(what: str) -> None:
        send(hanging(request, what))
        os._exit(0)

    try:
        with os.fdopen(os.dup(0), "rb") as parent:
            request = pickle.load(parent)
        threading.Thread(target=_die_with_parent, daemon=True).start()
        send(_answer(request, hangs))
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    if in_a_job():  # a communicator that the others have not left yet would be waited for at Python's end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
