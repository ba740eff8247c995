"""The held-out set is decided by each document's own hash."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from groundup.corpus.curate.split import agreed, count_for_split

HASHES = np.random.Generator(np.random.PCG64(5)).integers(0, 2**64 - 1, 5000, dtype=np.uint64)


def heldout(
    hashes: NDArray[np.uint64], fraction: float, kept: NDArray[np.bool_] | None = None, cuts: tuple[int, ...] = ()
) -> NDArray[np.bool_]:
    """Of parts that end at `cuts`."""
    kept = np.ones(len(hashes), bool) if kept is None else kept
    parts = [slice(first, last) for first, last in zip((0, *cuts), (*cuts, len(hashes)), strict=True)]
    split = agreed(fraction, [count_for_split(hashes[part], fraction, kept[part], part.start) for part in parts])
    return np.concatenate([split.heldout(hashes[part], kept[part], part.start) for part in parts])


def test_about_the_fraction_goes_to_the_heldout_set() -> None:
    assert 0.015 < heldout(HASHES, 0.02).mean() < 0.025
    assert not heldout(HASHES, 0.0).any()


def test_a_document_stays_on_its_side_whatever_comes_or_goes() -> None:
    everything = heldout(HASHES, 0.1)
    assert (heldout(HASHES[:2500], 0.1) == everything[:2500]).all()
    kept = np.arange(5000) % 3 > 0
    assert (heldout(HASHES, 0.1, kept) == (everything & kept)).all()


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20, unique=True),
    st.floats(0.0001, 0.99),
    st.randoms(use_true_random=False),
)
def test_both_sides_have_a_document(hashes: list[int], fraction: float, random) -> None:
    """Whatever the parts."""
    found: NDArray[np.uint64] = np.array(hashes, dtype=np.uint64)
    cuts = tuple(sorted(random.randrange(len(hashes) + 1) for _ in range(3)))
    assert (heldout(found, fraction, cuts=cuts) == heldout(found, fraction)).all()
    assert 0 < heldout(found, fraction).sum() < len(found)
    kept = np.zeros(len(found), bool)
    kept[random.sample(range(len(found)), 2)] = True
    chosen = heldout(found, fraction, kept)
    assert chosen.sum() == 1
    assert not (chosen & ~kept).any()
