"""A side is measured in a process of its own: pinned, with its own memory; a peer that fails ends nothing else."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.measure import Failure, Measurement, best, busy_cores, in_process, peer_in_process
from groundup.errors import GroundupError


def surroundings(megabytes: int) -> dict[str, object]:
    kept = b"x" * (megabytes << 20)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"cores": cores, "threads": os.environ["NUMBA_NUM_THREADS"], "pid": os.getpid(), "kept": len(kept)}


def broken() -> None:
    raise ValueError("this peer is out of order")


def test_a_fresh_process_with_one_core() -> None:
    small, large = in_process(surroundings, 1), in_process(surroundings, 200)
    assert small.value["threads"] == "1"
    assert small.value["cores"] in (1, None)
    assert len({small.value["pid"], large.value["pid"], os.getpid()}) == 3
    assert 190 << 20 < large.peak_rss_bytes - small.peak_rss_bytes < 230 << 20


def missing() -> None:
    import a_peer_that_nobody_installed  # type: ignore[import-not-found]  # noqa: F401


def crashing() -> None:
    os.abort()


def test_our_own_failure_is_an_error_with_its_reason() -> None:
    with pytest.raises(GroundupError, match=r"test_measure.broken failed: ValueError: this peer is out of order"):
        in_process(broken)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (broken, "ValueError: this peer is out of order"),
        (missing, "No module named 'a_peer_that_nobody_installed'"),
        (crashing, "exit status -6"),
    ],
)
def test_a_failing_peer_gives_its_reason(peer: Callable[[], None], reason: str) -> None:
    failure = peer_in_process(peer)
    assert isinstance(failure, Failure)
    assert reason in failure.reason


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_busy_loops_take_the_cores_and_end() -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = children()
    with busy_cores(1):
        (loop,) = children() - before
        used, until = 0, time.monotonic() + 30
        while not used and time.monotonic() < until:
            used = int(Path(f"/proc/{loop}/stat").read_text().split()[13])
            time.sleep(0.05)
        assert used
    assert children() == before


def test_a_working_peer_is_measured() -> None:
    measured = peer_in_process(surroundings, 1)
    assert isinstance(measured, Measurement)
    assert measured.value["threads"] == "1"


def test_best_ignores_the_first_call() -> None:
    calls: list[int] = []
    assert best(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4


def test_a_side_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    found = peer_in_process(time.sleep, 60, limit=2)
    assert isinstance(found, Failure) and found.reason == "not done after 2 s"
    assert time.monotonic() - started < 30
