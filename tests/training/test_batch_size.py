"""A batch that grows: the same tokens in the same order, each once, cut into other steps."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.parallel.data_rank import DataRank
from groundup.parallel.single_device import SingleDevice
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard, TokenWriter
from groundup.shards.windows import Windows
from groundup.training.batch_size import BatchSizes, first_rows, rising
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.data import objective_of, steps_of
from groundup.training.pretraining import Pretraining
from resuming import assert_resumes

LENGTH = 8


def test_the_example_in_the_files_head() -> None:
    sizes = rising(16, 96, start=0.25, fraction=0.5)
    assert [sizes.at(step) for step in range(12)] == [4] * 6 + [8] * 3 + [16] * 3
    assert sizes.steps(96) == 6 + 3 + 3


@given(
    rows=st.integers(1, 300),
    total=st.integers(1, 10**6),
    start=st.floats(0.001, 0.99),
    fraction=st.floats(0.001, 1),
)
def test_sizes(rows: int, total: int, start: float, fraction: float) -> None:
    """They double from `start`; each is used for about an equal part of `fraction`."""
    sizes = rising(rows, total, start, fraction)
    last = sum(steps for steps, _ in sizes.rising)
    steps = range(min(last + 3, 400))
    taken = [sizes.at(step) for step in steps]
    assert [sizes.before(step) for step in steps] == [sum(taken[:step]) for step in steps]
    assert sizes.at(last) == rows
    if sizes.rising:
        assert sizes.at(0) == first_rows(rows, start) < rows
        small = [size for _, size in sizes.rising]
        for steps_of, size in sizes.rising:  # each reads as much as the others, to the nearest step, at least one
            part = fraction * total / len(small)
            assert abs(steps_of * size - part) <= size / 2 + 1e-6 * part or steps_of == 1
        assert small == [small[0] * 2**n for n in range(len(small))] and small[-1] * 2 >= rows
    else:
        assert first_rows(rows, start) == rows


@given(st.integers(1, 10**5), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=4))
def test_steps_are_the_fewest_that_are_enough(rows: int, before: list[tuple[int, int]]) -> None:
    sizes = BatchSizes(10, tuple(before))
    steps = sizes.steps(rows)
    assert sizes.before(steps) >= rows > sizes.before(steps - 1)


def stream() -> SampleStream:
    return SampleStream(TokenShard.of([tiny.ids(1, 801)[0].tolist()]), LENGTH, seed=4)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("processes", [1, 2])
def test_the_same_tokens_in_the_same_order(accumulate: int, processes: int) -> None:
    """What a growing batch reads, process after process, is what the stream gives in a row."""
    whole = 16 // accumulate
    sizes = rising(whole, 100 // accumulate, 0.25, 0.4)
    assert sizes.rising
    made = Pretraining(stream(), None, batch_tokens=128, accumulate=accumulate, sizes=sizes)
    steps, read = sizes.steps(100 // accumulate), []
    for step in range(steps):
        of_ranks = [made.batches(step, DataRank(rank, processes)) for rank in range(processes)]
        for part in range(accumulate):
            assert sum(len(batches[part].inputs_BT) for batches in of_ranks) == sizes.at(step)
            read += [batches[part].inputs_BT for batches in of_ranks]
    rows = torch.cat(read)
    assert torch.equal(rows, torch.from_numpy(stream().batch(0, len(rows))[:, :-1]))
    assert 100 <= len(rows) < 100 + 16


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Cut before any of six steps, of which the first four are smaller ones."""
    held = Windows(TokenShard.of([tiny.ids(1, 60, seed=1)[0].tolist()]), LENGTH)

    def make(seed: int) -> tuple[SingleDevice, Pretraining]:
        sizes = BatchSizes(8, ((2, 2), (2, 4)))
        return tiny.engine(tiny.model(seed)), Pretraining(stream(), held, batch_tokens=128, accumulate=2, sizes=sizes)

    assert_resumes(make, tmp_path)


def config(**changes: object) -> PretrainConfig:
    given = {"batch_tokens": 16 * LENGTH, "sequence": LENGTH, "tokens": 800, "model": ModelShape(context=LENGTH)}
    return PretrainConfig.model_validate(given | changes)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for split, size in (("train", 801), ("heldout", 90)):
        with TokenWriter(tmp_path, split, tiny.tokenizer()) as writer:
            writer.append(split, tiny.ids(1, size)[0].numpy())
    return tmp_path


@pytest.mark.parametrize("accumulate", [1, 2])
def test_from_the_blueprint(shards: Path, accumulate: int) -> None:
    plain = config(accumulate=accumulate)
    warm = config(accumulate=accumulate, batch_warmup={"start": 0.25, "fraction": 0.5})
    assert plain.result_affecting() != warm.result_affecting()
    for each in (plain, warm):
        made = objective_of(each, shards, tiny.tokenizer(), seed=1)
        steps = steps_of(each, made)
        assert made.draws(steps).start * LENGTH >= 800 > made.draws(steps - 1).start * LENGTH
        assert steps == (math.ceil(800 / 128) if each is plain else 6 + 3 + 4)
    with pytest.raises(GroundupError, match=r"pretrain\.batch_warmup: a micro-batch has 1 sequences"):
        objective_of(config(batch_tokens=LENGTH, batch_warmup={}), shards, tiny.tokenizer(), seed=1)
