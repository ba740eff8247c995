"""Helpers do all that is submitted, and stay away from the processor of the thread that waits for them."""

import os
import time

import pytest

from groundup.kernels import helpers
from groundup.kernels.helpers import Helpers


def test_every_number_is_done() -> None:
    done, made = list[int](), Helpers(2)
    for _ in range(3):
        for future in made.submit(done.append, range(1, 6)):
            future.result()
    assert sorted(done) == sorted([*range(1, 6)] * 3)


def test_an_error_is_the_caller_s() -> None:
    [future] = Helpers(1).submit(lambda number: 1 // number, range(1))  # type: ignore[arg-type, return-value]
    with pytest.raises(ZeroDivisionError):
        future.result()


@pytest.mark.skipif(helpers._libc is None, reason="the system does not say where a thread runs")
def test_helpers_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the caller were on each processor in turn."""
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("there is one processor")
    made, seen = Helpers(1), list[set[int]]()

    def look(number: int) -> None:
        seen.append(os.sched_getaffinity(0))
        time.sleep(0.001)

    made.submit(look, range(1))[0].result()  # starts the thread

    class At:
        def __init__(self, processor: int) -> None:
            self.sched_getcpu = lambda: processor

    for processor in usable:
        monkeypatch.setattr(helpers, "_libc", At(processor))
        made.submit(look, range(1))[0].result()
        assert seen[-1] == usable - {processor}
    assert os.sched_getaffinity(0) == usable  # the caller's own
