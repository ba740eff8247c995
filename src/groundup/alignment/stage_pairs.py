"""The pairs that a stage learns from: a person's own, or made from what SFT taught."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.alignment.data.data_reading import read_comparisons
from groundup.alignment.data.examples import skip_long_prompts
from groundup.alignment.data.pairs import Pair, make_pairs, split_given, write_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.alignment.own_answers import wrong_answers
from groundup.alignment.pair_objective import EncodedPair
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


def _own_pairs(training: StageTraining, items: Sequence[Item], splits: Mapping[str, str], samples: int) -> list[Pair]:
    if not samples:
        return []
    settle()
    precision = training.start.figures["precision"]
    model = ModelOnDevice(training.model(), own_device(), precision)
    return wrong_answers(model, items, splits, samples, training.tokenizer, seed=training.work.seed)
