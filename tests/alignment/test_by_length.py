"""Sorted batches: every example once in an epoch, little padding, and each batch a function of its step."""

from itertools import pairwise

import numpy as np
import pytest

from groundup.alignment.by_length import WINDOW, SortedDraws
from groundup.shards.order import samples_at

LENGTHS = np.random.default_rng(0).integers(1, 100, 150).tolist()


def draws(batch: int, examples: int = 150) -> SortedDraws[int]:
    def drawn(first: int, count: int) -> list[int]:
        return [int(index) for index in samples_at(first, count, examples, 5)]

    return SortedDraws(drawn, lambda index: LENGTHS[index], batch=batch, epoch=examples, seed=5)


@pytest.mark.parametrize("batch", [3, 10, 75])
def test_an_epoch_has_each_example_once(batch: int) -> None:
    """Also where its steps are no multiple of the window's: 50 of 8, and 15 of 3."""
    made = draws(batch)
    for epoch in range(2):
        steps = range(epoch * made.steps, (epoch + 1) * made.steps)
        assert sorted(index for step in steps for index in made.at(step)) == list(range(150))


def test_any_step_can_come_first() -> None:
    made = draws(7)  # 22 steps, of which the last has examples of the next epoch
    in_order = [made.at(step) for step in range(60)]
    assert all(draws(7).at(step) == in_order[step] for step in (0, 7, 8, 21, 22, 59))
    assert all(len(batch) == 7 for batch in in_order)


def test_little_is_padded() -> None:
    """Within a window no batch's lengths overlap another's, and batches come in no order of length."""
    made = draws(3)
    batches = [sorted(LENGTHS[index] for index in made.at(step)) for step in range(WINDOW)]
    ordered = sorted(batches)
    assert all(a[-1] <= b[0] for a, b in pairwise(ordered))
    assert batches != ordered


def test_the_next_epoch_has_other_batches() -> None:
    """Also where an epoch has few steps: a window that held all of it would sort it alike each time."""
    made = draws(30)
    first, second = ({frozenset(made.at(step)) for step in range(start, start + 5)} for start in (0, 5))
    assert not first & second
