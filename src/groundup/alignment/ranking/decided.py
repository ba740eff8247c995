"""What was decided: rows that train a reward model, pairs of answers with who won, and how far raters agree."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from groundup.alignment.ranking.agreement import Agreement, agreement
from groundup.alignment.ranking.journal import Judgement, RankingItem, RankingJournal, SampledAnswer
from groundup.artifacts.durable import write_text


@dataclass(frozen=True)
class DecidedPair:
    """Two answers of an item, in its order, and how they compare."""

    rater: str
    item: int
    first: SampledAnswer
    second: SampledAnswer
    score: float
    """1: the first is better; 0: the second is; 0.5: they are equal."""


def decided_pairs(journal: RankingJournal) -> Iterator[DecidedPair]:
    """Every pair of answers that a rater has compared; of a list all of its pairs."""
    for one in journal.judgements.values():
        item = journal.items[one.item]
        tier_of = {index: number for number, tier in enumerate(one.tiers) for index in tier}
        for a, b in combinations(sorted(tier_of), 2):
            score = 0.5 if tier_of[a] == tier_of[b] else float(tier_of[a] < tier_of[b])
            yield DecidedPair(one.rater, one.item, item.answers[a], item.answers[b], score)


def agreement_of(journal: RankingJournal) -> Agreement | None:
    """Over all pairs that at least two raters have compared; None where there is none."""
    ratings: dict[str, dict[Any, float]] = {}
    for pair in decided_pairs(journal):
        ratings.setdefault(pair.rater, {})[pair.item, pair.first.text, pair.second.text] = pair.score
    return agreement(ratings)


def write_comparisons(path: Path, journal: RankingJournal) -> int:
    """Write what a blueprint's `reward.data` reads, a row for each judgement; returns how many rows there are.

    Two answers, one better: `{prompt, chosen, rejected}`. Else `{prompt, ranked: [best, ..., worst]}`, where a list in
    the list holds equal ones. Skipped items have no row. `rater` and `models` are for people's eyes.
    """
    rows = [_row(journal.items[one.item], one) for one in journal.judgements.values() if one.tiers]
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)


def _row(item: RankingItem, judgement: Judgement) -> dict[str, Any]:
    alone = len(item.prompt) == 1 and item.prompt[0]["role"] == "user"
    row: dict[str, Any] = {"prompt": item.prompt[0]["content"] if alone else list(item.prompt)}
    texts, models = (
        [[getattr(item.answers[index], name) for index in tier] for tier in judgement.tiers]
        for name in ("text", "model")
    )
    if [len(tier) for tier in texts] == [1, 1]:
        (row["chosen"],), (row["rejected"],) = texts
    else:
        row["ranked"] = [tier[0] if len(tier) == 1 else tier for tier in texts]
    return row | {"rater": judgement.rater, "models": [tier[0] if len(tier) == 1 else tier for tier in models]}
