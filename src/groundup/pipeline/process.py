"""The parent's side of a stage's process: start it, wait for it, and report in one line how it failed."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from groundup.artifacts import durable
from groundup.errors import GroundupError
from groundup.machine import short_waits
from groundup.pipeline.messages import StageRequest

LOOK_SECONDS = 1.0  # between calls of `watch`
GRACE = 3.0  # seconds in which an interrupted stage may reset the terminal
GRACE_TOGETHER = 25.0  # and in which ranks may agree on a last step and save it; SLURM gives 30
FULL = 1 << 20  # bytes: with less than this free, a stage that failed was out of disk


class UnforeseenError(GroundupError):
    """A stage's process ended without reporting why."""


def run_stage(
    request: StageRequest,
    log: Path,
    environment: Mapping[str, str] = os.environ,
    watch: Callable[[], None] | None = None,
) -> str:
    """Make one artifact in a process of its own; returns the name of its folder.

    Whatever ends this function ends that process and all that it started.

    Args:
        log: where its standard error goes.
        environment: its environment variables.
        watch: called every second while it works; what it raises ends the process.

    Raises:
        GroundupError: the stage failed; a traceback, if there is one, is in `log`.
    """
    stage = request.key.stage
    log.parent.mkdir(parents=True, exist_ok=True)
    mode = "ab" if request.parallel else "wb"  # ranks are started again and again within one try
    answer_end, result_end = os.pipe()
    with os.fdopen(answer_end, "rb") as answers, log.open(mode) as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "groundup.pipeline.worker", str(result_end)],
                stdin=subprocess.PIPE,
                stderr=errors,
                pass_fds=(result_end,),
                process_group=0,
                env=worker_environment(environment),
            )
        finally:
            os.close(result_end)
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it ended before it listened: its status says more
                pickle.dump(request, process.stdin)
                process.stdin.flush()
            with _pausing_together(process.pid):
                status = process.wait() if watch is None else _wait(process, watch)
        finally:
            _end(process, GRACE_TOGETHER if request.parallel else GRACE)
        answer = json.loads(answers.read()) if status == 0 else {}
    if log.stat().st_size == 0:
        log.unlink()
    if "artifact" in answer:
        return str(answer["artifact"])
    if answer:
        raise GroundupError(answer["what"], where=answer["where"], do=answer["do"])
    if status in (130, -signal.SIGINT, -signal.SIGTERM):  # someone ended the stage and not the run
        raise UnforeseenError(f"{stage} was ended from outside", do="run again: it resumes where it was")
    if shutil.disk_usage(request.run).free < FULL:
        raise durable.disk_error(OSError("no space left"), request.run)
    if status == -signal.SIGKILL:
        raise UnforeseenError(
            f"{stage} was killed, most often because memory ran out",
            do="close other programs, or choose a smaller size or batch, then run again: it resumes where it was",
        )
    raise UnforeseenError(
        f"{stage} failed, which is a bug in groundup (exit status {status})",
        where=str(log),
        do="that file holds the details; please report it with them",
    )


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a stage's process: sets hash with a fixed seed, and OpenMP's threads don't spin for long."""
    return {**environment, "PYTHONHASHSEED": "0", **short_waits(environment)}


def _wait(process: subprocess.Popen[bytes], watch: Callable[[], None]) -> int:
    """The exit status of a process, once it has one."""
    while True:
        try:
            return process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            watch()


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """End the process, if it has not ended within some seconds, and everything left of its group."""
    assert process.stdin is not None
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with suppress(ProcessLookupError, PermissionError):  # macOS answers with the latter when only zombies are left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(BrokenPipeError):
        process.stdin.close()
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?25h")  # a bar that was killed has left the cursor hidden
        sys.stdout.flush()


@contextmanager
def _pausing_together(leader: int) -> Iterator[None]:
    """Ctrl-Z stops the stage with this process, and `fg` or `bg` continues both."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause(_number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        with suppress(ProcessLookupError):  # this process was sent SIGCONT
            os.killpg(leader, signal.SIGCONT)

    before = signal.signal(signal.SIGTSTP, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
