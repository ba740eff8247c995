"""A difference between corpora is extrapolated with an interval that holds a single run's luck."""

import numpy as np
import pytest

from groundup.planning.data_forecast import forecast

FLOPS = [1e12, 1e12, 2e12, 2e12, 4e12, 4e12]


def test_a_line_is_continued() -> None:
    """-.1 bits at 1e12, .02 less for each doubling: at 1e15."""
    found = forecast(FLOPS, [-0.1 - 0.02 * np.log2(one / 1e12) for one in FLOPS], 1e15)
    assert found.value == pytest.approx(-0.1 - 0.02 * np.log2(1000)) and found.high - found.low < 1e-6


def test_nineteen_of_twenty_runs_are_inside() -> None:
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        luck = random.normal(0, 0.01, len(FLOPS) + 1)
        found = forecast(FLOPS, luck[:-1].tolist(), 1.6e13)
        inside += found.low <= luck[-1] <= found.high
    assert 0.92 < inside / 400 < 0.98


def test_one_budget_says_nothing_about_another() -> None:
    with pytest.raises(ValueError, match="at least three rungs"):
        forecast([1e12] * 4, [0.1, 0.1, 0.2, 0.1], 1e13)
