"""A side is measured in a process of its own: pinned, with its own memory, and its failure is told."""

import os

import pytest

from groundup.bench.measure import best, in_process
from groundup.errors import GroundupError


def surroundings(megabytes: int) -> dict[str, object]:
    held = b"x" * (megabytes << 20)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"cores": cores, "threads": os.environ["NUMBA_NUM_THREADS"], "pid": os.getpid(), "held": len(held)}


def broken() -> None:
    raise ValueError("this peer is out of order")


def test_a_fresh_process_with_one_core() -> None:
    small, large = in_process(surroundings, 1), in_process(surroundings, 200)
    assert small.value["threads"] == "1"
    assert small.value["cores"] in (1, None)
    assert len({small.value["pid"], large.value["pid"], os.getpid()}) == 3
    assert 190 << 20 < large.peak_rss_bytes - small.peak_rss_bytes < 230 << 20


def test_a_failure_is_told_with_its_reason() -> None:
    with pytest.raises(GroundupError, match=r"test_measure.broken failed: ValueError: this peer is out of order"):
        in_process(broken)


def test_best_leaves_the_first_call_out() -> None:
    calls: list[int] = []
    assert best(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4
