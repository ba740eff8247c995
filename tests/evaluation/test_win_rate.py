"""Win rates: ties count half, prompts are drawn together, and length alone is no merit."""

import numpy as np
import pytest

from groundup.evaluation.win_rate import length_controlled, win_rate


def test_rate_and_interval():
    found = win_rate([1, 0, 0.5, 1], [(4, 4)] * 4, list("abcd"))
    assert found.comparisons == 4 and found.rate.mean == 0.625
    assert found.rate.low < 0.625 < found.rate.high
    together = win_rate([1] * 50 + [0] * 50, [(4, 4)] * 100, ["a"] * 50 + ["b"] * 50)
    assert (together.rate.low, together.rate.high) == (0.0, 1.0)  # two prompts, however many answers


def test_trainings_are_drawn_too():
    """Where one training always wins and the other always loses, no number of questions says which is usual."""
    scores, groups = [1.0] * 100 + [0.0] * 100, [str(n) for n in range(100)] * 2
    found = win_rate(scores, [(4, 4)] * 200, groups, trainings=[0] * 100 + [1] * 100)
    assert (found.rate.low, found.rate.mean, found.rate.high) == (0.0, 0.5, 1.0)
    alike = win_rate([1.0, 0.0] * 100, [(4, 4)] * 200, groups, trainings=[0] * 100 + [1] * 100)
    assert 0.3 < alike.rate.low < 0.5 < alike.rate.high < 0.7


def test_length_alone_is_no_merit():
    """Judges who prefer the longer answer make the longer model win; at equal length nothing is left of it. A model
    that wins at every length keeps its rate."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(20, 120, 4000), rng.integers(5, 80, 4000)
    spread = (first - second).std()
    chance = 1 / (1 + np.exp(-2 * np.tanh((first - second) / spread)))
    scores = (rng.random(4000) < chance).astype(float)
    lengths = list(zip(first.tolist(), second.tolist(), strict=True))
    assert scores.mean() > 0.6 and length_controlled(scores, lengths) == pytest.approx(0.5, abs=0.03)
    fair = (rng.random(4000) < 0.7).astype(float)
    assert length_controlled(fair, lengths) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("scores", [[1.0] * 8, [0.0] * 8])
def test_one_side_always_wins(scores):
    found = length_controlled(scores, [(5, 4), (4, 5)] * 4)
    assert np.isfinite(found) and (found > 0.9 or found < 0.1)
