"""Pairs of the model's own answers, to train and to judge a reward model by."""

from typing import Any

import torch
from torch import Tensor, tensor

import tiny
from groundup.alignment.configuration import OwnAnswersConfig
from groundup.alignment.data.examples import ask
from groundup.alignment.data.questions import DRAWS, Item
from groundup.alignment.data.records import task_of
from groundup.alignment.own_answers import best_and_worst, sample_pairs, wrong_answers
from groundup.alignment.rewards.verifiers import verify
from groundup.parallel.engine import ModelOnDevice


class EvenFirst:
    """The truth: an answer is right if it begins with an even number; to the last task nothing is."""

    def score(self, tasks: Any, answers: Any) -> Tensor:
        return tensor(
            [float(a.answer[0] % 2 == 0 and t.question != "none") for t, a in zip(tasks, answers, strict=True)]
        )


def test_pairs_of_the_models_own_answers() -> None:
    """Right against wrong to the same question, never more than one a task, none where all answers are alike."""
    made = ModelOnDevice(tiny.model(), torch.device("cpu"), "fp32")
    tasks = [*(task_of(str(number)) for number in range(12)), task_of("none")]
    prompts = [[number + 1, 7] for number in range(13)]
    kinds = ["first"] * 6 + ["second"] * 7
    settings: dict[str, Any] = {"stop": 60, "max_tokens": 5, "samples": 6, "temperature": 1.0}
    found = sample_pairs(made, tasks, prompts, kinds, EvenFirst(), **settings)
    assert 6 <= len(found) <= 12
    for one in found:
        right, wrong = one.pair
        assert right.prompt == wrong.prompt != prompts[-1]
        assert right.answer[0] % 2 == 0 and wrong.answer[0] % 2 == 1
        assert one.category == kinds[prompts.index(right.prompt)]
    again = sample_pairs(made, tasks, prompts, kinds, EvenFirst(), **settings)
    assert [one.pair for one in again] == [one.pair for one in found]


def test_each_error_of_the_model_makes_one_pair_with_the_right_answer() -> None:
    """Asked in drawn phrasings that neither judge the reward model nor are PPO's first; in the split of its subject;
    an error that is made twice counts once, and what is right makes none."""
    tokenizer = tiny.tokenizer()
    made = ModelOnDevice(tiny.model(vocab_size=tokenizer.vocabulary_size), torch.device("cpu"), "fp32")
    items = [Item("os.path.join", "summary", "Join paths.", "d"), Item("math.cos", "summary", "The cosine.", "e")]
    pairs = wrong_answers(made, items, {"math.cos": "heldout"}, 5, tokenizer)
    assert pairs and pairs == wrong_answers(made, items, {"math.cos": "heldout"}, 5, tokenizer)
    assert len({(pair.subject, pair.rejected) for pair in pairs}) == len(pairs)
    for pair in pairs:
        item = items[pair.subject == "math.cos"]
        assert pair.chosen == item.answer and pair.kind == "own"
        assert not verify(task_of(pair.question, item.answer), pair.rejected)
        assert pair.question in {item.question("rl", DRAWS + turn) for turn in range(5)}
        assert pair.split == ("heldout" if pair.subject == "math.cos" else "train")
    knows = [Item(pair.subject, "summary", pair.rejected, "d") for pair in pairs[:1]]
    assert all(pair.rejected != knows[0].answer for pair in wrong_answers(made, knows, {}, 5, tokenizer))


TOKENIZER = tiny.tokenizer()
ASKED = [task_of(question) for question in ("thing?", "other?", "a?")]
OWN_ANSWERS = OwnAnswersConfig(answers=4, temperature=1.0, max_answer_tokens=5)


class Recorded:
    """Small first tokens are good; to the question `a?` every answer is worth the same."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    def score(self, tasks: Any, answers: Any) -> Tensor:
        self.scores = [
            0.0 if task.question == "a?" else -float(answer.answer[0])
            for task, answer in zip(tasks, answers, strict=True)
        ]
        return tensor(self.scores)


def test_the_best_against_the_worst() -> None:
    model, reward = tiny.model(vocab_size=TOKENIZER.vocabulary_size), Recorded()
    made = ModelOnDevice(model, torch.device("cpu"), "fp32")
    first, second, third = best_and_worst(made, ASKED, reward, OWN_ANSWERS, TOKENIZER, seed=5)
    assert third is None and first is not None and second is not None
    for number, pair in enumerate((first, second)):
        of_task = reward.scores[4 * number : 4 * number + 4]
        assert [-float(answer.answer[0]) for answer in pair] == [max(of_task), min(of_task)]
        assert all(answer.prompt == ask(ASKED[number].question, TOKENIZER) for answer in pair)
    assert best_and_worst(made, ASKED, reward, OWN_ANSWERS, TOKENIZER, seed=5) == [first, second, None]
    assert best_and_worst(made, ASKED, reward, OWN_ANSWERS, TOKENIZER, seed=6) != [first, second, None]
