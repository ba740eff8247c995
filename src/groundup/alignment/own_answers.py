"""Pairs of the policy's own answers: what it gets right, and what it gets wrong, by the checker.

A reward model will judge what the policy says, not errors that someone made up; it is trained and judged on such pairs
(arXiv 2203.02155, section 3.1: comparisons are of the SFT model's own answers).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import OwnAnswersConfig
from groundup.alignment.data.examples import answer_ids, prompt_ids
from groundup.alignment.data.pairs import OWN, Pair
from groundup.alignment.data.questions import DRAWS, Item
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.rewards.reward import Reward, answer_text
from groundup.alignment.rewards.verifiers import verify
from groundup.inference.continuation import continue_prompts
from groundup.inference.sampling import Sampling
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import ModelOnDevice
from groundup.tokenizer.tokenizer import Tokenizer

LONGER = 8  # tokens that an answer may be longer than the longest right one


@dataclass(frozen=True)
class Sampled:
    """A right and a wrong answer of the model itself to one question."""

    pair: EncodedPair
    category: str


def wrong_answers(
    on_device: ModelOnDevice,
    items: Sequence[Item],
    splits: Mapping[str, str],
    per_item: int,
    tokenizer: Tokenizer,
    *,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Pair]:
    """The right answer against each wrong one that the model gives where it is asked `per_item` times.

    It is asked in phrasings of `rl`, other ones than those that the reward model is judged by.

    Args:
        splits: "train" or "heldout" of each subject.
    """
    asked = [(item, item.question("rl", DRAWS + turn, seed)) for item in items for turn in range(per_item)]
    prompts = [prompt_ids(task_of(question).prompt, tokenizer) for _, question in asked]
    longest = max((len(answer_ids(item.answer, tokenizer)) for item in items), default=0)
    pairs: dict[tuple[str, str], Pair] = {}  # by subject and answer: the same error counts once
    for (item, question), answer in zip(
        asked,
        _answers(on_device, prompts, tokenizer.end, longest + LONGER, temperature, seed),
        strict=True,
    ):
        text = answer_text(answer, tokenizer)
        if text and not verify(task_of(question, item.answer), text):
            pair = Pair(question, item.answer, text, OWN, item.subject, splits.get(item.subject, "train"))
            pairs.setdefault((item.subject, text), pair)
    return list(pairs.values())


def sample_pairs(
    on_device: ModelOnDevice,
    tasks: Sequence[Task],
    prompts: Sequence[list[int]],
    categories: Sequence[str],
    truth: Reward,
    *,
    stop: int,
    max_tokens: int,
    samples: int,
    temperature: float = 0.7,
    seed: int = 0,
) -> list[Sampled]:
    """At most one pair a task: its first right and its first wrong answer among `samples`; none where all are alike.

    Args:
        truth: the checker: above 0 is right.
    """
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    given = _answers(on_device, repeated, stop, max_tokens, temperature, seed)
    found = []
    for index, (task, category) in enumerate(zip(tasks, categories, strict=True)):
        answers = given[index * samples : (index + 1) * samples]
        right = (truth.score([task] * samples, answers) > 0).tolist()
        if any(right) and not all(right):
            found.append(Sampled((answers[right.index(True)], answers[right.index(False)]), category))
    return found


def best_and_worst(
    on_device: ModelOnDevice,
    tasks: Sequence[Task],
    reward: Reward,
    config: OwnAnswersConfig,
    tokenizer: Tokenizer,
    *,
    seed: int = 0,
) -> list[EncodedPair | None]:
    """For each task the best and the worst of some answers under a reward (on-policy DPO, arXiv 2402.04792); None where
    all have the same score."""
    repeated = [task for task in tasks for _ in range(config.answers)]
    prompts = [prompt_ids(task.prompt, tokenizer) for task in repeated]
    answers = _answers(on_device, prompts, tokenizer.end, config.max_answer_tokens, config.temperature, seed)
    scores = reward.score(repeated, answers).tolist()
    pairs: list[EncodedPair | None] = []
    for first in range(0, len(answers), config.answers):
        group = sorted(range(first, first + config.answers), key=scores.__getitem__)
        worst, best = group[0], group[-1]
        pairs.append((answers[best], answers[worst]) if scores[best] > scores[worst] else None)
    return pairs


def _answers(
    on_device: ModelOnDevice,
    prompts: Sequence[list[int]],
    stop: int,
    max_tokens: int,
    temperature: float,
    seed: int,
) -> list[Answer]:
    """One sampled answer to each prompt, a function of the prompt's index and the seed."""
    model = on_device.model
    assert isinstance(model, CustomLanguageModel)
    given = continue_prompts(
        model,
        prompts,
        stop={stop},
        max_tokens=max_tokens,
        sampling=Sampling(temperature),
        seeds=[(seed << 20) + index for index in range(len(prompts))],
        dtype=on_device.dtype,
    )
    return [Answer(prompt, one.tokens) for prompt, one in zip(prompts, given, strict=True)]
