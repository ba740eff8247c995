"""The order of samples: a bijection for any size, another one each epoch, the same again from the same integer."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.shards.order import Permutation, sample_at, samples_at

SEEDS = st.integers(-(2**70), 2**70)


@settings(max_examples=150, deadline=None)
@given(n=st.integers(1, 3000), seed=SEEDS, epoch=st.integers(0, 10**9))
def test_every_number_once(n: int, seed: int, epoch: int) -> None:
    permuted = Permutation(n, seed, epoch)(np.arange(n))
    assert permuted.dtype == np.int64
    assert np.array_equal(np.sort(permuted), np.arange(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 65_535, 65_536, 65_537, 300_000])
def test_every_number_once_around_powers_of_two(n: int) -> None:
    assert np.array_equal(np.sort(Permutation(n, 7)(np.arange(n))), np.arange(n))


@given(n=st.integers(1, 2**62), seed=SEEDS, data=st.data())
def test_scalars_and_arrays_agree_at_any_size(n: int, seed: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=5))
    perm = Permutation(n, seed)
    images = [perm(index) for index in indices]
    assert all(type(image) is int and 0 <= image < n for image in images)
    assert len(set(images)) == len(images)
    assert perm(np.array(indices, dtype=np.int64)).tolist() == images
    assert perm(np.array([indices], dtype=np.int64)).shape == (1, len(indices))


def test_values_are_fixed() -> None:
    """A run resumed by a later version must continue in the same order."""
    assert Permutation(10, 1337)(np.arange(10)).tolist() == [6, 8, 9, 7, 2, 5, 0, 3, 1, 4]
    assert [sample_at(draw, 10, 1337) for draw in range(10)] == [6, 8, 9, 7, 2, 5, 0, 3, 1, 4]


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(Permutation(50, seed, epoch)(np.arange(50))) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_outcomes_are_evenly_spread() -> None:
    """Each of the 24 orders of four samples comes up about equally often over the epochs (chi-squared, 23 degrees)."""
    epochs = 4800
    seen = Counter(tuple(Permutation(4, 3, epoch)(np.arange(4)).tolist()) for epoch in range(epochs))
    expected = epochs / 24
    assert len(seen) == 24
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < 49.7  # p = .001


def test_neighbours_are_parted() -> None:
    """No trend is left: neighbouring draws are uncorrelated."""
    permuted = Permutation(10_000, 5)(np.arange(10_000))
    assert abs(np.corrcoef(permuted[:-1], permuted[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(permuted, np.arange(10_000))[0, 1]) < 0.04


@given(first=st.integers(0, 200), count=st.integers(0, 60), samples=st.integers(1, 30), seed=st.integers(0, 5))
def test_a_run_of_draws_equals_its_single_draws(first: int, count: int, samples: int, seed: int) -> None:
    run = samples_at(first, count, samples, seed)
    assert run.tolist() == [sample_at(draw, samples, seed) for draw in range(first, first + count)]


def test_an_epoch_draws_every_sample_once() -> None:
    draws = samples_at(0, 300, 100, seed=9)
    for epoch in range(3):
        assert sorted(draws[100 * epoch : 100 * (epoch + 1)]) == list(range(100))


@pytest.mark.parametrize("n", [0, -1, 2**62 + 1])
def test_sizes_out_of_range(n: int) -> None:
    with pytest.raises(ValueError, match="no permutation"):
        Permutation(n, 0)


@pytest.mark.parametrize("index", [-1, 5])
def test_indices_out_of_range(index: int) -> None:
    with pytest.raises(IndexError):
        Permutation(5, 0)(index)
    with pytest.raises(IndexError):
        Permutation(5, 0)(np.array([0, index]))
