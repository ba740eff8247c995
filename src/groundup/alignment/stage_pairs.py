"""The pairs that a stage learns from: a person's own, or made from what SFT taught."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.alignment.configuration import OwnAnswersConfig
from groundup.alignment.data.data_reading import read_comparisons
from groundup.alignment.data.examples import skip_long_prompts
from groundup.alignment.data.pairs import WORST, Pair, heldout_names, make_pairs, split_given, write_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.alignment.data.records import Task
from groundup.alignment.own_answers import best_and_worst, wrong_answers
from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.rewards.reward import Reward, answer_text
from groundup.alignment.training import ITEMS, PAIRS, StageTraining, encode_pair
from groundup.artifacts import Artifact
from groundup.errors import GroundupError
from groundup.parallel.device import settle
from groundup.parallel.engine import ModelOnDevice
from groundup.parallel.mesh.process_group import own_device


@dataclass(frozen=True)
class StagePairs:
    """Pairs by their split, and what there is to report of them."""

    train: list[EncodedPair]
    train_rankings: list[int | None]
    """Which ranked list each was made from."""
    heldout: list[EncodedPair]
    heldout_kinds: list[str]
    """How the rejected answer of each held-out pair is wrong."""
    figures: dict[str, Any] = field(default_factory=dict)
    noted: str = ""
    """For the summary."""


def stage_pairs(
    training: StageTraining,
    inputs: Mapping[str, Artifact],
    context: int,
    *,
    data: Path | None,
    per_subject: int,
    samples_per_subject: int,
    heldout: float,
) -> StagePairs:
    """Read or make the pairs, and write them to the artifact's `pairs.jsonl`.

    Args:
        context: the model's; longer answers are cut.
        data: a person's own file; None: pairs are made from the items of `sft`.
        samples_per_subject: answers of the model itself, each wrong one of which makes another pair.

    Raises:
        GroundupError: the file can't be used, or no pair is left to learn from.
    """
    tokenizer, work = training.tokenizer, training.work
    figures: dict[str, Any] = {"made_from_documents": data is None}
    noted = ""
    if data is not None:
        file = read_comparisons(work.base / data.expanduser())
        skip_long_prompts(file, tokenizer, context)
        pairs = split_given([pair for _, pair in file.records], heldout, work.seed)
        figures["data"], noted = file.figures(), f"; {file.summary}"
    else:
        items = read_items(inputs["sft"].file(ITEMS)) if "sft" in inputs else []
        main = [item for item in items if item.aspect in MAIN_ASPECTS]
        rest = [item for item in items if item.aspect not in MAIN_ASPECTS] or main
        pairs = make_pairs(main, rest, per_subject, heldout, work.seed)
        pairs += _own_pairs(training, main, {pair.subject: pair.split for pair in pairs}, samples_per_subject)
    write_pairs(work.out / PAIRS, pairs)
    encoded = {
        split: [encode_pair(pair, tokenizer, context) for pair in pairs if pair.split == split]
        for split in ("train", "heldout")
    }
    if not encoded["train"]:
        raise GroundupError(
            "there is no pair to learn from",
            where=training.title,
            do=f"name your own pairs with {training.title}.data",
        )
    kinds = [pair.kind for pair in pairs if pair.split == "heldout"]
    rankings = [pair.ranking for pair in pairs if pair.split == "train"]
    return StagePairs(encoded["train"], rankings, encoded["heldout"], kinds, figures, noted)


def ranked_stage_pairs(
    training: StageTraining, tasks: Sequence[Task], reward: Reward, config: OwnAnswersConfig, heldout: float
) -> StagePairs:
    """The best against the worst of the model's own answers to each task, written to the artifact's `pairs.jsonl`.

    Args:
        heldout: the fraction of the subjects (each has its own true answer, where these are known) that only measure.
    """
    tokenizer, work = training.tokenizer, training.work
    found = best_and_worst(_on_device(training), tasks, reward, config, tokenizer, seed=work.seed)
    kept = heldout_names({_subject(task) for task in tasks}, heldout, random.Random(work.seed))
    sides: dict[str, list[EncodedPair]] = {"train": [], "heldout": []}
    rows = []
    for task, pair in zip(tasks, found, strict=True):
        if pair is None:
            continue
        split = "heldout" if _subject(task) in kept else "train"
        sides[split].append(pair)
        chosen, rejected = (answer_text(answer, tokenizer) for answer in pair)
        rows.append(Pair(task.question, chosen, rejected, WORST, _subject(task), split, task.prompt[:-1]))
    write_pairs(work.out / PAIRS, rows)
    alike = sum(pair is None for pair in found)
    figures = {"questions": len(tasks), "answers": len(tasks) * config.answers, "questions_alike": alike}
    noted = f" of the model's own answers, {alike:,} of {len(tasks):,} questions gave none"
    train, measured = sides["train"], sides["heldout"]
    return StagePairs(train, [None] * len(train), measured, [WORST] * len(measured), figures, noted)


def _subject(task: Task) -> str:
    return task.answer or task.question


def _on_device(training: StageTraining) -> ModelOnDevice:
    """The model that training starts from, to sample from."""
    settle()
    return ModelOnDevice(training.model(), own_device(), training.start.figures["precision"])


def _own_pairs(training: StageTraining, items: Sequence[Item], splits: Mapping[str, str], samples: int) -> list[Pair]:
    if not samples:
        return []
    return wrong_answers(_on_device(training), items, splits, samples, training.tokenizer, seed=training.work.seed)
