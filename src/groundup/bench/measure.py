"""Measuring: each side in a fresh process of its own, pinned to as many cores as it may use.

A process of its own means that no side pays for what the other has allocated, and that its peak memory is its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from groundup.errors import GroundupError
from groundup.pipeline.memory import PeakMemory

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


@dataclass(frozen=True)
class Measured:
    """What a process reported of its work, and the peak resident memory in bytes of it and those it started."""

    value: Any
    peak_rss_bytes: int


def in_process(function: Callable[..., Any], *arguments: Any, cores: int = 1) -> Measured:
    """Call a module-level function in a fresh process that has `cores` cores, and give back what it returned.

    Args:
        function: importable by its module and name; what it returns must be JSON-ready.
        arguments: JSON-ready.
        cores: the process is pinned to the first so many of those this process may use (Linux), and every library
            that reads an environment variable for it is told to use as many threads.

    Raises:
        GroundupError: the process failed; its last words are part of the message.
    """
    call = json.dumps([function.__module__, function.__name__, arguments])
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(cores)), "DO_NOT_TRACK": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the function is found there as it is here
    command = [sys.executable, "-m", "groundup.bench.measure", str(cores), call]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise GroundupError(f"the process that measures {function.__module__}.{function.__name__} failed: {last}")
    result = json.loads(done.stdout.splitlines()[-1])
    return Measured(result["value"], result["peak_rss_bytes"])


def best(function: Callable[[], Any], repeats: int = 3) -> float:
    """Least wall-clock seconds of `repeats` calls, after one that is not counted (it compiles and warms caches)."""
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
