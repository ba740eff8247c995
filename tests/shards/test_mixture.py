"""Mixtures: whoever looks finds the same source at a draw, and fractions are honoured after any number of draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.shards.mixture import BLOCK, Mixture

weights_ = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


@settings(max_examples=40)
@given(weights=weights_, first=st.integers(0, 10**12), count=st.integers(0, 300))
def test_any_draw_alone_is_the_draw_in_its_run(weights: list[float], first: int, count: int) -> None:
    mixture = Mixture(weights)
    sources, nth = mixture.draws(first, count)
    for at in range(0, count, 37):
        assert [part.tolist() for part in mixture.draws(first + at, 1)] == [[sources[at]], [nth[at]]]


@settings(max_examples=40)
@given(weights=weights_)
def test_the_draws_of_each_source_are_counted_without_a_gap(weights: list[float]) -> None:
    mixture = Mixture(weights)
    sources, nth = mixture.draws(0, 3 * BLOCK)
    for source in range(len(weights)):
        assert nth[sources == source].tolist() == list(range((sources == source).sum()))
    for draws in (0, 1, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 4321):
        assert mixture.drawn(draws).tolist() == np.bincount(sources[:draws], minlength=len(weights)).tolist()


@settings(max_examples=60)
@given(weights=weights_)
def test_shares_are_honoured_after_any_number_of_draws(weights: list[float]) -> None:
    """Within a few draws at every prefix, so within 1e-3 from the first block on, apart from the rounding to 1/8192."""
    mixture, fractions = Mixture(weights), np.array(weights) / sum(weights)
    sources, _ = mixture.draws(0, 3 * BLOCK)
    draws = np.arange(1, 3 * BLOCK + 1)
    for source, fraction in enumerate(fractions):
        had = np.cumsum(sources == source)
        assert np.abs(had - fraction * draws).max() <= (len(weights) + 1) / 2 + 2 * 3  # 2 of each block by rounding
        assert np.abs(had / draws - fraction)[BLOCK:].max() < 1e-3


def test_equal_weights_take_turns() -> None:
    assert Mixture([2, 2, 2]).draws(0, 6)[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert Mixture([0.7, 0.2, 0.1]).draws(0, 10)[0].tolist() == [0, 0, 1, 0, 0, 2, 0, 1, 0, 0]
    assert Mixture([3]).draws(5, 3)[1].tolist() == [5, 6, 7]


def test_the_smallest_weight_is_heard() -> None:
    assert Mixture([1.0, 1e-9]).counts.tolist() == [BLOCK - 1, 1]
    assert Mixture([1e-9] * 5 + [1.0]).counts.tolist() == [1] * 5 + [BLOCK - 5]


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [float("nan")], [float("inf")], [1.0] * (BLOCK + 1)])
def test_weights_out_of_range(weights: list[float]) -> None:
    with pytest.raises(ValueError):
        Mixture(weights)
