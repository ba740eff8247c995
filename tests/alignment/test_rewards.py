"""Rewards: a person's function and what it may do wrong, sums of rewards, and a reward model on its scale."""

import math

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer, collate
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.reward import RewardModel, Scale
from groundup.alignment.rewards.model import ModelReward
from groundup.alignment.rewards.reward import FunctionReward, WeightedSum
from groundup.errors import GroundupError
from groundup.parallel.engine import ModelOnDevice

TOKENIZER = tiny.tokenizer()
TASKS = [task_of("Q?", "yes"), task_of("R?", "no")]
ANSWERS = [Answer([1], [*TOKENIZER.encode("yes"), TOKENIZER.end]), Answer([1], TOKENIZER.encode("nope"))]


def right(task: Task, answer: str) -> float:
    return float(answer == task.answer)


def test_a_function_sees_text_without_its_stop_token() -> None:
    seen: list[str] = []
    FunctionReward(lambda task, answer: seen.append(answer) or 0.0, TOKENIZER).score(TASKS, ANSWERS)
    assert seen == ["yes", "nope"]
    assert FunctionReward(right, TOKENIZER).score(TASKS, ANSWERS).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("function", "why"),
    [(lambda task, answer: 1 / 0, "ZeroDivisionError"), (lambda task, answer: math.nan, "not finite")],
)
def test_a_functions_mistake_is_a_sentence(function: object, why: str) -> None:
    with pytest.raises(GroundupError, match=why):
        FunctionReward(function, TOKENIZER).score(TASKS, ANSWERS)  # type: ignore[arg-type]


def test_a_weighted_sum() -> None:
    length = FunctionReward(lambda task, answer: len(answer), TOKENIZER)
    both = WeightedSum([(1.0, FunctionReward(right, TOKENIZER)), (-0.1, length)])
    assert both.score(TASKS, ANSWERS).tolist() == pytest.approx([1 - 0.3, -0.4])


def test_a_reward_model_gives_its_scale_and_is_frozen() -> None:
    model = RewardModel(tiny.model(0))
    reward = ModelReward(ModelOnDevice(model, torch.device("cpu"), "fp32"), Scale(0.5, 2.0), pad=0)
    answers = [Answer([1, 2], [3, 4]), Answer([5], [6])]
    with torch.no_grad():
        raw = model.scores(collate(answers, 0))
    assert torch.allclose(reward.score(TASKS, answers), (raw - 0.5) / 2.0, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert len(reward.score([], [])) == 0
