"""Packed examples are trained as if each had a row of its own, with less padding."""

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer, collate, log_probabilities
from groundup.alignment.packing import pack
from groundup.alignment.sft import Lesson, SftObjective, padding
from groundup.errors import GroundupError

PAD = 56


def answers(count: int, longest: int = 20) -> list[Answer]:
    generator = torch.Generator().manual_seed(count)

    def draw(low: int, high: int) -> list[int]:
        size = int(torch.randint(1, longest // 2 + 1, (), generator=generator))
        return torch.randint(low, high, (size,), generator=generator).tolist()

    return [Answer(draw(0, 56), draw(0, 61)) for _ in range(count)]


@pytest.mark.parametrize("context", [20, 33, 64])
def test_each_example_is_to_itself(context: int) -> None:
    """Log-probabilities of every answer token, and gradients, against one row for each example."""
    made, one_by_one, examples = tiny.model(), tiny.model(), answers(14)
    packed, padded = pack(examples, context, PAD), collate(examples, PAD)
    assert packed.tokens == padded.tokens
    assert len(packed) < len(padded)
    assert packed.ids_BT.shape[1] <= context + 7
    logp_N, _ = log_probabilities(made, packed)
    assert packed.documents_BT is not None
    order = packed.documents_BT[packed.answer_BT]
    for index, example in enumerate(examples):
        alone, _ = log_probabilities(one_by_one, collate([example], PAD))
        assert torch.allclose(logp_N[order == index], alone, atol=1e-4)
        (-alone.sum()).backward()
    (-logp_N.sum()).backward()
    assert tiny.same_gradients(made, one_by_one)


def test_values_are_laid_out_by_answer() -> None:
    examples = answers(9)
    packed = pack(examples, 40, PAD)
    assert packed.documents_BT is not None
    rows = packed.rows(packed.ids_BT[packed.answer_BT].float())
    indices = packed.documents_BT[packed.answer_BT].unique_consecutive().tolist()
    assert sorted(indices) == list(range(9))
    for row, index in zip(rows, indices, strict=True):
        answer = examples[index].answer
        assert row.tolist() == answer + [0.0] * (rows.shape[1] - len(answer))


def objective(context: int | None, accumulate: int = 1, batch: int = 24) -> SftObjective:
    lessons = [Lesson([one]) for one in answers(60)]
    return SftObjective(lessons, [], batch=batch, accumulate=accumulate, pad=PAD, seed=3, context=context)


def test_a_packed_step_holds_the_examples_drawn() -> None:
    packed = objective(64)
    for step in (7, 0, 3):
        (batch,) = packed.batches(step)
        drawn = sorted(tuple(one.prompt + one.answer) for one in map(packed.example, range(step * 24, step * 24 + 24)))
        assert batch.documents_BT is not None
        held = [
            tuple(ids[mine == index].tolist())
            for ids, mine in zip(batch.ids_BT, batch.documents_BT, strict=True)
            for index in mine.unique().tolist()
            if index >= 0
        ]
        assert sorted(held) == drawn


def test_accumulation_changes_nothing() -> None:
    made, other = tiny.model(), tiny.model()
    for model, parts in ((made, 1), (other, 3)):
        for batch in objective(64, parts).batches(2):
            loss, _ = objective(64).loss(model, batch)
            (loss / 100).backward()
    assert tiny.same_gradients(made, other)


def test_padding_saved() -> None:
    shares = padding({"padded": objective(None), "packed": objective(64)}, 8)
    assert 0 <= shares["packed"] < 0.12
    assert shares["padded"] > shares["packed"]


def test_what_can_t_be_packed() -> None:
    with pytest.raises(GroundupError, match="example 1: the answer has no token"):
        pack([Answer([1], [2]), Answer([1], [])], 16, PAD)
    with pytest.raises(ValueError, match="don't go into windows of 16"):
        pack([Answer([1] * 16, [2])], 16, PAD)
