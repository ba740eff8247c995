"""Pairs of a model's own answers: the best and the worst of those that were sampled, or none where all are alike."""

from collections.abc import Sequence

import torch

import tiny
from groundup.alignment.answers import Answer
from groundup.alignment.configuration import OwnAnswersConfig
from groundup.alignment.data.examples import ask
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.own_pairs import own_pairs

TOKENIZER = tiny.tokenizer()
TASKS = [task_of(question) for question in ("thing?", "other?", "a?")]
CONFIG = OwnAnswersConfig(answers=4, temperature=1.0, max_answer_tokens=5)


class Recorded:
    """Small first tokens are good; to the question `a?` every answer is worth the same."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> torch.Tensor:
        self.scores = [
            0.0 if task.question == "a?" else -float(answer.answer[0])
            for task, answer in zip(tasks, answers, strict=True)
        ]
        return torch.tensor(self.scores)


def test_the_best_against_the_worst() -> None:
    made, reward = tiny.model(vocab_size=TOKENIZER.vocabulary_size), Recorded()
    first, second, third = own_pairs(made, TOKENIZER, TASKS, reward, CONFIG, seed=5)
    assert third is None and first is not None and second is not None
    for number, pair in enumerate((first, second)):
        of_task = reward.scores[4 * number : 4 * number + 4]
        assert [-float(answer.answer[0]) for answer in pair] == [max(of_task), min(of_task)]
        assert all(answer.prompt == ask(TASKS[number].question, TOKENIZER) for answer in pair)
    assert own_pairs(made, TOKENIZER, TASKS, reward, CONFIG, seed=5) == [first, second, None]
    assert own_pairs(made, TOKENIZER, TASKS, reward, CONFIG, seed=6) != [first, second, None]
