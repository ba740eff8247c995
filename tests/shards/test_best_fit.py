"""Best-fit packing against the textbook's way of doing it, and against what no packing can beat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.shards.packing import best_fit

cases = st.integers(1, 40).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(1, capacity), max_size=60), st.just(capacity))
)


def plain(lengths: list[int], capacity: int) -> list[list[int]]:
    """Best fit, decreasing, looking at every window for every example."""
    windows, rooms = list[list[int]](), list[int]()
    since = list[int]()  # when a window came to have the room that it has
    for time, example in enumerate(sorted(range(len(lengths)), key=lambda at: -lengths[at])):
        fitting = [at for at, room in enumerate(rooms) if room >= lengths[example]]
        if fitting:
            chosen = min(fitting, key=lambda at: (rooms[at], since[at]))
        else:
            windows.append([])
            rooms.append(capacity)
            since.append(0)
            chosen = len(windows) - 1
        windows[chosen].append(example)
        rooms[chosen] -= lengths[example]
        since[chosen] = time
    return windows


@given(cases)
def test_as_in_the_textbook(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    assert best_fit(lengths, capacity) == plain(lengths, capacity)


@given(cases)
def test_every_example_once_and_never_too_much(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    windows = best_fit(lengths, capacity)
    assert sorted(example for window in windows for example in window) == list(range(len(lengths)))
    loads = [sum(lengths[example] for example in window) for window in windows]
    assert all(0 < load <= capacity for load in loads)
    least = max(-(-sum(lengths) // capacity), sum(length > capacity // 2 for length in lengths))
    assert len(windows) <= 11 * least / 9 + 4  # Johnson 1974, with the additive constant of his proof


def test_lengths_like_those_of_chats_leave_next_to_nothing_empty() -> None:
    lengths = np.minimum(512, np.random.default_rng(0).lognormal(4.5, 0.8, 20_000).astype(int) + 8)
    windows = best_fit(lengths, 512)
    assert len(windows) * 512 < 1.01 * lengths.sum()


@pytest.mark.parametrize("lengths", [[5, 0], [11], [-1]])
def test_lengths_out_of_range(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="don't go into windows of 10"):
        best_fit(lengths, 10)
