"""The protocol of all rewards, and those that need no model."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from groundup.alignment.answers import Answer
from groundup.alignment.data.records import Task
from groundup.errors import GroundupError
from groundup.tokenizer.tokenizer import Tokenizer


class Reward(Protocol):
    """Gives answers their scores; higher is better."""

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Tensor:
        """Float32 [B], one for each answer to the task with the same index."""


class FunctionReward:
    """`function(task, text of the answer)` as a reward."""

    def __init__(self, function: Callable[[Task, str], float], tokenizer: Tokenizer) -> None:
        self.function, self.tokenizer = function, tokenizer

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Tensor:
        """
        Raises:
            GroundupError: the function failed, or gave no finite number.
        """
        scores = []
        for task, answer in zip(tasks, answers, strict=True):
            text = answer_text(answer, self.tokenizer)
            try:
                scores.append(float(self.function(task, text)))
            except GroundupError:
                raise
            except Exception as error:  # the user's own code
                raise GroundupError(
                    f"the reward function failed: {type(error).__name__}: {error}",
                    where=f"the answer {text[:60]!r} to {task.question[:60]!r}",
                    do="let the function return a number for every answer",
                ) from error
        found = torch.tensor(scores, dtype=torch.float32)
        if not found.isfinite().all():
            raise GroundupError(
                "the reward function gave a score that is not finite",
                where="reward",
                do="let the function return a finite number for every answer",
            )
        return found


class WeightedSum:
    """Several rewards, each times its weight."""

    def __init__(self, parts: Sequence[tuple[float, Reward]]) -> None:
        self.parts = list(parts)

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Tensor:
        return torch.stack([weight * reward.score(tasks, answers).cpu() for weight, reward in self.parts]).sum(0)


def answer_text(answer: Answer, tokenizer: Tokenizer) -> str:
    """The answer without its stop token, and without ids that only pad the model's vocabulary."""
    ids = answer.answer[:-1] if answer.answer[-1:] == [tokenizer.end] else answer.answer
    return tokenizer.decode([token for token in ids if token < tokenizer.vocabulary_size])
