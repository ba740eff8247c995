"""Pairs of a model's own answers: the best against the worst under a reward (on-policy DPO, arXiv 2402.04792).

    "What does len do?"  ->  "Return the length." +1.2, "Return a list." -.3, "Return it." -.9
                         ->  ("Return the length.", "Return it.")

With the loss `imitate` only the best answer is learnt from: rejection sampling (arXiv 2304.06767).
"""

import random
from collections.abc import Sequence

import torch

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import OwnAnswersConfig
from groundup.alignment.data.examples import prompt_ids
from groundup.alignment.data.pairs import Pair, heldout_names, write_pairs
from groundup.alignment.data.records import Task
from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.rewards.reward import Reward, answer_text
from groundup.alignment.stage_pairs import StagePairs
from groundup.alignment.training import PAIRS, StageTraining
from groundup.inference.continuation import continue_prompts
from groundup.inference.sampling import Sampling
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import Engine
from groundup.tokenizer.tokenizer import Tokenizer

KIND = "worst"  # of the rejected answer: that of its question with the lowest score


@torch.no_grad()
def own_pairs(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    reward: Reward,
    config: OwnAnswersConfig,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> list[EncodedPair | None]:
    """For each task its best and its worst answer; None where all have the same score."""
    repeated = [task for task in tasks for _ in range(config.answers)]
    prompts = [prompt_ids(task.prompt, tokenizer) for task in repeated]
    found = continue_prompts(
        model,
        prompts,
        stop={tokenizer.end},
        max_tokens=config.max_answer_tokens,
        sampling=Sampling(config.temperature),
        seeds=[(seed << 32) + row for row in range(len(prompts))],
        dtype=dtype,
    )
    answers = [Answer(prompt, one.tokens) for prompt, one in zip(prompts, found, strict=True)]
    scores = reward.score(repeated, answers).tolist()
    pairs: list[EncodedPair | None] = []
    for first in range(0, len(answers), config.answers):
        group = sorted(range(first, first + config.answers), key=scores.__getitem__)
        worst, best = group[0], group[-1]
        pairs.append((answers[best], answers[worst]) if scores[best] > scores[worst] else None)
    return pairs


def stage_own_pairs(
    training: StageTraining,
    tasks: Sequence[Task],
    reward: Reward,
    engine: Engine,
    config: OwnAnswersConfig,
    heldout: float,
) -> StagePairs:
    """Sample and compare, and write the pairs to the artifact's `pairs.jsonl`. Collective.

    Args:
        heldout: the fraction of the subjects (each has its own true answer, where these are known) that only measure.
    """
    tokenizer, work = training.tokenizer, training.work
    with engine.whole() as model:
        assert isinstance(model, CustomLanguageModel)
        found = own_pairs(model, tokenizer, tasks, reward, config, work.seed, engine.dtype)
    kept = heldout_names({_subject(task) for task in tasks}, heldout, random.Random(work.seed))
    sides: dict[str, list[EncodedPair]] = {"train": [], "heldout": []}
    rows = []
    for task, pair in zip(tasks, found, strict=True):
        if pair is None:
            continue
        split = "heldout" if _subject(task) in kept else "train"
        sides[split].append(pair)
        chosen, rejected = (answer_text(answer, tokenizer) for answer in pair)
        rows.append(Pair(task.question, chosen, rejected, KIND, _subject(task), split, task.prompt[:-1]))
    write_pairs(work.out / PAIRS, rows)
    alike = sum(pair is None for pair in found)
    figures = {"questions": len(tasks), "answers": len(tasks) * config.answers, "questions_alike": alike}
    noted = f" of the model's own answers, {alike:,} of {len(tasks):,} questions gave none"
    return StagePairs(
        sides["train"], [None] * len(sides["train"]), sides["heldout"], [KIND] * len(sides["heldout"]), figures, noted
    )


def _subject(task: Task) -> str:
    return task.answer or task.question
