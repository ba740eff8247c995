"""The order of samples: every token once an epoch, the same from any position on, for any ranks and workers."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import tiny
from groundup.shards.dataset import DrawnSamples, RankDraws
from groundup.shards.mixture import BLOCK
from groundup.shards.order import sample_at
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard, TokenWriter
from groundup.shards.windows import Windows, positions


def numbered(*lengths: int, sources: list[str] | None = None) -> TokenShard:
    """Documents of these lengths; token i of the row is i."""
    bounds = np.cumsum([0, *lengths])
    return TokenShard.of([np.arange(first, last) for first, last in pairwise(bounds)], sources, "<u4")


@settings(max_examples=60)
@given(tokens=st.integers(2, 400), length=st.integers(1, 40), seed=st.integers(0, 3), epoch=st.integers(0, 9))
def test_an_epoch_serves_every_token_once(tokens: int, length: int, seed: int, epoch: int) -> None:
    if tokens <= length:
        return
    stream = SampleStream(numbered(tokens), length, seed)
    rows = stream.batch(epoch * stream.samples, stream.samples)
    assert (np.diff(rows) == 1).all()
    assert sorted(rows[:, :-1].ravel()) == list(range(stream.samples * length))
    assert sorted(rows[:, 1:].ravel()) == list(range(1, stream.samples * length + 1))


def test_it_is_the_permuted_order_of_the_windows() -> None:
    """Against the definition: one sample at a time."""
    stream, windows = SampleStream(numbered(1000), 7, seed=5), Windows(numbered(1000), 7)
    rows = stream.batch(0, 600)
    for draw in range(600):
        assert rows[draw].tolist() == windows.rows(np.array([sample_at(draw, len(windows), 5)]))[0].tolist()


SOURCES = ["a", "a", "b", "c", "c", "c"]
LENGTHS = (90, 40, 300, 55, 5, 77)
WEIGHTS = {"c": 0.5, "a": 0.2, "b": 0.3}


def mixed(weights: dict[str, float] | None = WEIGHTS, seed: int = 3) -> SampleStream:
    return SampleStream(numbered(*LENGTHS, sources=SOURCES), 6, seed, weights)


def test_each_source_of_a_mixture_is_read_once_an_epoch_in_an_order_of_its_own() -> None:
    stream, shard = mixed(), numbered(*LENGTHS, sources=SOURCES)
    rows = stream.batch(0, 2000)
    spans = {name: shard.spans[name] for name in WEIGHTS}
    others = SampleStream(shard, 6, 3, {"b": 1.0, "c": 9.0}).batch(0, 2000)
    for name, (first, last) in spans.items():
        mine = rows[(rows[:, 0] >= first) & (rows[:, 0] < last)]
        assert (mine[:, -1] < last).all()  # no sample runs from one source into the next
        samples = (last - first - 1) // 6
        for epoch in range(len(mine) // samples):
            starts = mine[epoch * samples : (epoch + 1) * samples, 0]
            assert sorted(starts) == list(range(first, first + samples * 6, 6))
        assert stream.epochs(2000)[name] == len(mine) / samples
        if name != "a":  # whichever others there are, and with whatever weight
            theirs = others[(others[:, 0] >= first) & (others[:, 0] < last)]
            assert theirs[: len(mine)].tolist() == mine[: len(theirs)].tolist()


def test_weights_are_honoured_in_tokens() -> None:
    """Within 1e-3 after any number of draws beyond a block."""
    shard = numbered(*LENGTHS, sources=SOURCES)
    rows = mixed().batch(0, 3 * BLOCK)
    served = np.arange(1, 3 * BLOCK + 1) * 6
    for name, weight in WEIGHTS.items():
        first, last = shard.spans[name]
        tokens = np.cumsum(((rows[:, :-1] >= first) & (rows[:, :-1] < last)).sum(1))
        assert np.abs(tokens / served - weight)[BLOCK:].max() < 1e-3


@settings(max_examples=40)
@given(at=st.integers(0, 2000), sizes=st.lists(st.integers(0, 300), max_size=6), weighted=st.booleans())
def test_resuming_needs_one_integer(at: int, sizes: list[int], weighted: bool) -> None:
    whole = mixed(WEIGHTS if weighted else None).batch(0, 4000)
    resumed = mixed(WEIGHTS if weighted else None)
    for size in sizes:
        rows = resumed.batch(at, size)
        assert np.array_equal(rows, whole[at : at + size])
        at += size


@settings(max_examples=25)
@given(first=st.integers(0, 500), stops=st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.integers(0, 9)), max_size=5))
def test_the_order_is_the_same_on_any_number_of_ranks(first: int, stops: list[tuple[int, int]]) -> None:
    """Runs on 1, 2 and 4 ranks, each resumed where the one before it was stopped, read what one rank reads."""
    served, at = [], first
    for ranks, steps in stops:
        last = at + 4 * steps  # a global batch of 4
        per_rank = [iter(RankDraws(at, last, rank, ranks)) for rank in range(ranks)]
        assert sum(len(RankDraws(at, last, rank, ranks)) for rank in range(ranks)) == last - at
        for _ in range(steps):
            batch = [[next(draws) for _ in range(4 // ranks)] for draws in per_rank]
            served += [batch[rank][row] for row in range(4 // ranks) for rank in range(ranks)]
            at += 4
    assert served == list(range(first, at))


@pytest.fixture
def on_disk(tmp_path: Path) -> TokenShard:
    tokenizer = tiny.tokenizer()
    with TokenWriter(tmp_path, "train", tokenizer) as writer:
        for name in "ab":
            writer.begin(name)
            for at in range(20):
                writer.append(f"{name}{at}", np.random.default_rng(at).integers(0, 200, 50))
    return TokenShard.open(tmp_path, "train", tokenizer)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_data_loader_serves_the_stream(on_disk: TokenShard, workers: int) -> None:
    stream = SampleStream(on_disk, 16, 7, {"a": 2.0, "b": 1.0})
    loader = DataLoader(
        DrawnSamples(stream, 200),
        batch_size=8,
        sampler=RankDraws(12, 200),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    batches = list(loader)
    assert batches[0].dtype == torch.int64
    assert torch.equal(torch.cat(batches), torch.from_numpy(stream.batch(12, 188)))


def test_a_data_set_is_a_sequence(on_disk: TokenShard) -> None:
    samples = DrawnSamples(SampleStream(on_disk, 16, 7), 30)
    assert len(samples) == 30
    assert torch.equal(samples[29], torch.stack(samples.__getitems__([3, 29]))[1])
    for outside in (-1, 30):
        with pytest.raises(IndexError):
            samples[outside]
    assert len(pickle.dumps(samples)) < 1000  # workers are sent no tokens
    for rank, ranks in ((-1, 2), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match="no rank"):
            RankDraws(0, 10, rank, ranks)


lengths_ = st.lists(st.integers(1, 30), min_size=1, max_size=30)


@settings(max_examples=60)
@given(lengths=lengths_, length=st.integers(1, 40))
def test_the_documents_of_a_batch(lengths: list[int], length: int) -> None:
    """Against one token at a time. The `<|endoftext|>` before a document, here its predecessor's last token, counts to
    it; positions follow."""
    shard = numbered(*lengths)
    if len(shard) <= length:
        return
    stream = SampleStream(shard, length, seed=2)
    rows, belongs = stream.batch(0, 50)[:, :-1], stream.documents(0, 50)
    assert belongs.shape == rows.shape
    for row, mine in zip(rows.tolist(), belongs.tolist(), strict=True):
        owners = [shard.document_at(min(token + 1, len(shard) - 1)) for token in row]
        assert [owner - owners[0] for owner in owners] == mine
    expected = [[row[:at].count(row[at]) for at in range(length)] for row in belongs.tolist()]
    assert positions(belongs).tolist() == expected


@settings(max_examples=40)
@given(lengths=lengths_, length=st.integers(1, 40))
def test_spans_name_every_token_of_a_draw(lengths: list[int], length: int) -> None:
    shard = numbered(*lengths)
    if len(shard) <= length:
        return
    stream = SampleStream(shard, length, seed=2)
    for draw in range(5):
        named = [
            int(shard.starts[span.document]) + at for span in stream.spans(draw) for at in range(span.first, span.last)
        ]
        assert named == stream.batch(draw, 1)[0].tolist()
        assert [span.id for span in stream.spans(draw)] == [f"doc{span.document}" for span in stream.spans(draw)]
