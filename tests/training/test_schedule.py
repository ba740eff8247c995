"""The learning rate at the corners."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.training.schedule import learning_rate


def test_a_hundred_steps() -> None:
    rates = [learning_rate(step, 100, 2.0, 0.1, 0.25) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])  # the first step learns already
    assert rates[9] == rates[10] == 2.0
    falling = [2.0 * (0.25 + 0.75 * 0.5 * (1 + math.cos(math.pi * k / 90))) for k in range(90)]
    assert rates[10:] == pytest.approx(falling)


@given(steps=st.integers(1, 60), warmup=st.floats(0, 1), final=st.floats(0, 1), peak=st.floats(1e-6, 10))
def test_it_rises_then_falls(steps: int, warmup: float, final: float, peak: float) -> None:
    rates = [learning_rate(step, steps, peak, warmup, final) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert max(rates) == pytest.approx(peak)
    assert min(rates) > 0  # no step is wasted


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [
        (1, 0.0, [1.0]),
        (1, 0.5, [1.0]),
        (1, 1.0, [1.0]),
        (2, 0.0, [1.0, 0.55]),
        (2, 1.0, [0.5, 1.0]),
        (3, 0.0, [1.0, 0.775, 0.325]),
        (4, 1.0, [0.25, 0.5, 0.75, 1.0]),
        (4, 0.25, [1.0, 1.0, 0.775, 0.325]),
    ],
)
def test_corners(steps: int, warmup: float, expected: list[float]) -> None:
    assert [learning_rate(step, steps, 1.0, warmup, 0.1) for step in range(steps)] == pytest.approx(expected)
