"""Windows: the samples are the row cut in equal parts, each epoch serves every token once, and draws know documents."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.shards.token_file import TokenShard, TokenWriter
from groundup.shards.windows import Windows


def shard_of(tokens: int, documents: int = 1) -> TokenShard:
    """Token i of the row is i, so that a sample shows where it was cut."""
    starts = np.linspace(0, tokens, documents + 1).astype(np.int64)
    return TokenShard(np.arange(tokens, dtype=np.uint32), starts, [f"doc{at}" for at in range(documents)])


@given(tokens=st.integers(2, 400), length=st.integers(1, 40), seed=st.integers(0, 3), epoch=st.integers(0, 3))
def test_an_epoch_serves_every_token_once(tokens: int, length: int, seed: int, epoch: int) -> None:
    if tokens <= length:
        return
    windows = Windows(shard_of(tokens), length)
    rows = windows.batch(epoch * len(windows), len(windows), seed)
    assert rows.shape == (len(windows), length + 1)
    assert rows.dtype == np.int64
    assert (np.diff(rows) == 1).all()
    assert sorted(rows[:, :-1].ravel()) == list(range(len(windows) * length))
    assert sorted(rows[:, 1:].ravel()) == list(range(1, len(windows) * length + 1))
    assert tokens - 1 - len(windows) * length < length  # what is left is less than a sample


def test_resuming_needs_one_integer() -> None:
    windows = Windows(shard_of(1000), 10)
    whole = windows.batch(0, 250, seed=3)
    for at in (0, 1, 98, 99, 100, 249):
        assert np.array_equal(windows.batch(at, 250 - at, seed=3), whole[at:])
    assert not np.array_equal(whole[:99], whole[99:198])


def test_samples_stand_in_the_order_of_the_row() -> None:
    windows = Windows(shard_of(31), 10)
    assert [windows.sample(at).tolist()[::10] for at in range(len(windows))] == [[0, 10], [10, 20], [20, 30]]
    for outside in (-1, 3):
        with pytest.raises(IndexError):
            windows.sample(outside)


def test_documents_of_a_draw() -> None:
    windows = Windows(shard_of(100, documents=20), 12)  # five tokens each
    for draw in range(2 * len(windows)):
        (row,) = windows.batch(draw, 1, seed=1)
        assert windows.documents(draw, seed=1) == list(dict.fromkeys(f"doc{token // 5}" for token in row))


@pytest.mark.parametrize("tokens", [0, 1, 10])
def test_too_few_tokens(tokens: int) -> None:
    with pytest.raises(GroundupError, match=f"have {tokens} tokens, too few for one sequence of 10"):
        Windows(shard_of(tokens), 10)
    assert len(Windows(shard_of(11), 10)) == 1


def test_memory_mapped_tokens_become_rows(tmp_path: Path) -> None:
    with TokenWriter(tmp_path, "train", 70_000, 69_999) as writer:
        writer.append("a", np.arange(65_530, 65_560))
    rows = Windows(TokenShard.open(tmp_path, "train", 70_000), 30).batch(0, 1, seed=0)
    assert rows.tolist() == [[*range(65_530, 65_560), 69_999]]
