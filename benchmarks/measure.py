"""Measuring: each side in a fresh process of its own, pinned to as many cores as it may use.

A process of its own means that no side pays for what the other has allocated, that its peak memory is its own, and that
a peer that crashes ends nothing but itself.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from groundup.errors import GroundupError
from groundup.pipeline.memory import PeakMemory
from groundup.pipeline.process import worker_environment

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


_LOOP = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    pass
"""


@dataclass(frozen=True)
class Measurement:
    """What a process returned, and the peak resident memory in bytes of it and of those it started."""

    value: Any
    peak_rss_bytes: int

    def figure(self, read: Callable[["Measurement"], float]) -> float:
        """One figure of the measurement; `Failure.figure` has none."""
        return read(self)


@dataclass(frozen=True)
class Failure:
    """Why a peer could not be measured: the last line of its error."""

    reason: str

    def figure(self, read: Callable[[Measurement], float]) -> "Failure":
        """The failure: a peer that failed has no figures."""
        return self


def in_process(function: Callable[..., Any], *arguments: Any, cores: int = 1) -> Measurement:
    """Call a module-level function in a fresh process that has `cores` cores, and return its result.

    Args:
        function: importable by its module and name; what it returns must be JSON-ready.
        arguments: JSON-ready.
        cores: the process is pinned to the first so many of those this process may use (Linux), and the environment
            variables of threaded libraries ask for as many threads.

    Raises:
        GroundupError: the process failed; the last line of its error is part of the message.
    """
    measured = _measure(function, arguments, cores)
    if isinstance(measured, Failure):
        name = f"{function.__module__}.{function.__name__}"
        raise GroundupError(f"the process that measures {name} failed: {measured.reason}")
    return measured


def peer_in_process(
    function: Callable[..., Any], *arguments: Any, cores: int = 1, limit: float | None = None
) -> Measurement | Failure:
    """`in_process` for what may fail, as a peer that is not installed: that is a `Failure` instead of an error.

    Args:
        limit: seconds after which it is ended, which is a failure too.
    """
    return _measure(function, arguments, cores, limit)


def _measure(
    function: Callable[..., Any], arguments: tuple[Any, ...], cores: int, limit: float | None = None
) -> Measurement | Failure:
    call = json.dumps([function.__module__, function.__name__, arguments])
    environment = {**worker_environment(os.environ), **dict.fromkeys(THREAD_VARIABLES, str(cores)), "DO_NOT_TRACK": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the same modules are importable there
    command = [sys.executable, "-m", "benchmarks.measure", str(cores), call]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Failure(f"not done after {limit:.0f} s")
    if process.returncode:
        return Failure((errors.strip() or f"exit status {process.returncode}").splitlines()[-1])
    result = json.loads(output.splitlines()[-1])
    return Measurement(result["value"], result["peak_rss_bytes"])


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Within it, as many loops run on the first `count` cores that this process may use, one pinned to each (Linux)."""
    cores = sorted(os.sched_getaffinity(0))[:count] if hasattr(os, "sched_getaffinity") else range(count)
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP, str(core)]) for core in cores]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def best(function: Callable[[], Any], repeats: int = 3) -> float:
    """Minimum wall-clock seconds of `repeats` calls, after a warm-up call (it compiles and fills caches)."""
    from time import perf_counter

    function()
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        function()
        seconds.append(perf_counter() - start)
    return min(seconds)


def _main() -> None:
    memory = PeakMemory()
    cores, (module, name, arguments) = int(sys.argv[1]), json.loads(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    value = getattr(import_module(module), name)(*arguments)
    print(json.dumps({"value": value, "peak_rss_bytes": memory.bytes}))


if __name__ == "__main__":
    _main()
