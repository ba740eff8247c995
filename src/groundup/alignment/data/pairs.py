"""Preference pairs made from the documents: the right answer against one that is wrong in a known way."""

import json
import random
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path

from groundup.alignment.data.questions import Item
from groundup.alignment.data.records import AnswerPair, Message

KINDS = ("other", "truncated", "repeated", "off_topic")
OWN = "own"  # an error that the SFT model made itself
WORST = "worst"  # of its answers to a question, by the reward model


@dataclass(frozen=True)
class Pair:
    """A question with a better and a worse answer."""

    question: str
    chosen: str
    rejected: str
    kind: str  # how the rejected answer is wrong, one of KINDS, OWN or WORST; "given" for pairs from a file
    subject: str
    split: str  # "train" or "heldout"
    earlier: tuple[Message, ...] = ()  # what was said before the question
    ranking: int | None = None  # of which ranking it is one of several pairs

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All messages before the answer."""
        return *self.earlier, {"role": "user", "content": self.question}


def make_pairs(
    items: Sequence[Item], elsewhere: Sequence[Item], per_item: int, heldout: float, seed: int
) -> list[Pair]:
    """`per_item` pairs for each item, the kinds in turn, asked in phrasings of `sft` and `rl`.

    - other: the right answer to the same question about another subject, every second time one of the same module
    - truncated: the right answer, cut after some of its words
    - repeated: the right answer twice, or followed by its beginning
    - off_topic: something true that answers another kind of question, drawn from the items `elsewhere`; where all are
      of one kind, something from another document

    All pairs of a subject are in one split, so that held-out accuracy is about subjects never compared in training.
    """
    rng = random.Random(seed)
    heldout_subjects = heldout_names({item.subject for item in items}, heldout, rng)
    by_aspect: dict[str, list[Item]] = {}
    for item in items:
        by_aspect.setdefault(item.aspect, []).append(item)
    neighbours: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        neighbours.setdefault((item.aspect, _module(item)), []).append(item)
    pairs = []
    for index, item in enumerate(items):
        split = "heldout" if item.subject in heldout_subjects else "train"
        questions = item.questions("sft") + item.questions("rl")
        for turn in range(per_item):
            kind = KINDS[(index + turn) % len(KINDS)]
            near = neighbours[item.aspect, _module(item)]
            others = near if turn % 2 == 0 and len(near) > 1 else by_aspect[item.aspect]
            worse = _worse(item, kind, elsewhere if kind == "off_topic" else others, rng)
            if worse is not None:
                pairs.append(Pair(rng.choice(questions), item.answer, worse, kind, item.subject, split))
    return pairs


def heldout_names(names: Set[str], fraction: float, rng: random.Random) -> set[str]:
    """About that fraction of the names: at least one where there are two or more, and never all."""
    shuffled = sorted(names)
    rng.shuffle(shuffled)
    return set(shuffled[: min(max(1, round(len(names) * fraction)), len(names) - 1)])


def _module(item: Item) -> str:
    return item.subject.rpartition(".")[0]


def _worse(item: Item, kind: str, pool: Sequence[Item], rng: random.Random) -> str | None:
    words = item.answer.split(" ")
    if kind == "truncated" and len(words) > 2:
        return " ".join(words[: rng.randrange(1, len(words) - 1)])
    if kind == "repeated":
        return f"{item.answer} {' '.join(words[: rng.randrange(1, len(words) + 1)])}"
    if kind == "truncated" or not pool:
        return None  # too short to be cut, or nothing to draw from
    for _ in range(8):
        other = rng.choice(pool)
        elsewhere = other.aspect != item.aspect or other.document != item.document
        if other.answer != item.answer and (kind != "off_topic" or elsewhere):
            return other.answer
    return None  # the documents know of no other answer


def split_given(given: Sequence[AnswerPair], heldout: float, seed: int) -> list[Pair]:
    """Pairs from a file; all pairs that end with one question are in one split."""
    questions = [one.prompt[-1]["content"] for one in given]
    heldout_questions = heldout_names(set(questions), heldout, random.Random(seed))
    rankings = {name: number for number, name in enumerate(dict.fromkeys(one.ranking for one in given if one.ranking))}
    return [
        Pair(
            question,
            one.chosen,
            one.rejected,
            "given",
            question,
            "heldout" if question in heldout_questions else "train",
            one.prompt[:-1],
            rankings.get(one.ranking),
        )
        for question, one in zip(questions, given, strict=True)
    ]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            row = asdict(pair)
            for name in ("earlier", "ranking"):
                if row[name] in ((), None):
                    del row[name]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_pairs(path: Path, split: str) -> Iterator[Pair]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            pair = Pair(**row | {"earlier": tuple(row.get("earlier", ()))})
            if pair.split == split:
                yield pair
