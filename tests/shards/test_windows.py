"""Windows: the samples are a row cut in equal parts, of all documents or of one source."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows


def shard_of(*lengths: int) -> TokenShard:
    """A document of each length, each a source of its own; token i of the row is i, so that a cut shows where it is."""
    bounds = np.cumsum([0, *lengths])
    documents = [np.arange(first, last) for first, last in pairwise(bounds)]
    return TokenShard.of(documents, [f"s{at}" for at in range(len(documents))], "<u4")


@given(tokens=st.integers(2, 400), length=st.integers(1, 40))
def test_every_token_but_the_first_is_a_target_once(tokens: int, length: int) -> None:
    if tokens <= length:
        return
    windows = Windows(shard_of(tokens), length)
    rows = windows.rows(np.arange(len(windows)))
    assert rows.dtype == np.int64
    assert rows[:, :-1].ravel().tolist() == list(range(len(windows) * length))
    assert rows[:, 1:].ravel().tolist() == list(range(1, len(windows) * length + 1))
    assert tokens - 1 - len(windows) * length < length  # what is left is less than a sample


def test_samples_are_in_the_order_of_the_row() -> None:
    windows = Windows(shard_of(31), 10)
    assert windows.rows(np.arange(3))[:, ::10].tolist() == [[0, 10], [10, 20], [20, 30]]
    for outside in (-1, 3):
        with pytest.raises(IndexError):
            windows.rows(np.array([0, outside]))


def test_a_source_is_cut_on_its_own() -> None:
    shard = shard_of(12, 25, 9)
    windows = Windows(shard, 10, "s1")
    assert windows.rows(np.arange(len(windows))).tolist() == [[*range(12, 23)], [*range(22, 33)]]
    assert windows.start(np.arange(2)).tolist() == [12, 22]
    with pytest.raises(GroundupError, match="the documents of s2 have 9 tokens, too few for one sequence of 10"):
        Windows(shard, 10, "s2")
    with pytest.raises(GroundupError, match=r"no documents of a source 'wiki'; there are s0, s1, s2"):
        Windows(shard, 10, "wiki")


@pytest.mark.parametrize("tokens", [1, 10])
def test_too_few_tokens(tokens: int) -> None:
    with pytest.raises(GroundupError, match=f"have {tokens} tokens, too few for one sequence of 10"):
        Windows(shard_of(tokens), 10)
    assert len(Windows(shard_of(11), 10)) == 1
