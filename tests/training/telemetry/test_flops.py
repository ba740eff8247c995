"""The work that counts is that of the batch's own tokens."""

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer, collate
from groundup.alignment.packing import pack
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.training.pretraining import Pretraining
from groundup.training.telemetry import flops_of, run_lengths


def test_runs() -> None:
    ids = torch.tensor([[3, 3, 4, 4, 4], [4, 4, 4, 4, -1], [-1, -1, 3, 3, 4]])
    assert run_lengths(ids) == [2, 3, 4, 1, 2, 2, 1]
    assert run_lengths(ids, padding=-1) == [2, 3, 4, 2, 1]


def test_pieces_cost_what_they_cost_alone() -> None:
    """6 N for each token, N without the five norms, and 12 L H Q T for what a token may see."""
    config = tiny.shape()
    n, seen = config.num_parameters - 5 * 32, 12 * 2 * 4 * 8
    assert flops_of(config, [5, 5, 7]) == 17 * 6 * n + seen * (25 + 25 + 49)
    assert flops_of(tiny.shape(sliding_window=3), [5]) == 5 * (6 * n + seen * 3)


def test_a_stream_of_documents_counts_those_that_see_each_other() -> None:
    """Of documents that end at 10, 17 and 37; each begins with the token that ended the one before."""
    shard = TokenShard.of([list(range(10)), list(range(7)), list(range(20))])
    for inside, expected in ((False, [12] * 3), (True, [9, 3, 4, 8, 12])):
        made = Pretraining(SampleStream(shard, 12, 0), None, batch_tokens=36, accumulate=1, inside_documents=inside)
        assert sorted(made.lengths(made.batches(0)[0])) == sorted(expected)


@pytest.mark.parametrize("packed", [False, True])
def test_padding_is_no_work(packed: bool) -> None:
    answers = [Answer(list(range(prompt)), list(range(answer))) for prompt, answer in ((3, 2), (9, 4), (1, 1), (5, 6))]
    batch = pack(answers, 16, pad=0) if packed else collate(answers, pad=0)
    assert sorted(batch.lengths) == sorted(len(answer) - 1 for answer in answers)
    assert sum(batch.lengths) < batch.ids_BT.numel()
