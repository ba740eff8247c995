"""Rankings of any number of answers as batches: every answer goes through the model once, however many it is compared
with.

    "which is best?"  A > B = C   ->  answers A, B, C; pairs (A, B), (A, C)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.alignment.answers import Answer, AnswerBatch, collate
from groundup.alignment.pair_objective import EncodedPair


@dataclass(frozen=True)
class EncodedRanking:
    """Answers to one prompt, and which of them is better than which."""

    answers: list[Answer]
    pairs: list[tuple[int, int]]
    """(better, worse), as indices of answers."""


@dataclass(frozen=True)
class RankingBatch:
    """Some rankings. Suffix: E pairs."""

    answers: AnswerBatch
    better_E: Tensor  # int64: rows of `answers`
    worse_E: Tensor
    ranking_E: Tensor  # int64: which ranking of the batch a pair is of
    rankings: int

    @property
    def lengths(self) -> list[int]:
        return self.answers.lengths

    def to(self, device: torch.device) -> "RankingBatch":
        """The same on a device."""
        better_E, worse_E, ranking_E = (x.to(device) for x in (self.better_E, self.worse_E, self.ranking_E))
        return RankingBatch(self.answers.to(device), better_E, worse_E, ranking_E, self.rankings)


def ranked(pairs: Iterable[tuple[EncodedPair, int | None]]) -> list[EncodedRanking]:
    """Rankings of pairs; those with the same number are one, the others one each.

    The rankings have the order of their first pairs, and an answer of several pairs is in it once.
    """
    found: list[EncodedRanking] = []
    by_number: dict[int, EncodedRanking] = {}
    for pair, number in pairs:
        new = EncodedRanking([], [])
        ranking = new if number is None else by_number.setdefault(number, new)
        if ranking is new:
            found.append(ranking)
        indices = []
        for answer in pair:
            if answer not in ranking.answers:
                ranking.answers.append(answer)
            indices.append(ranking.answers.index(answer))
        ranking.pairs.append((indices[0], indices[1]))
    return found


def collate_rankings(rankings: Sequence[EncodedRanking], pad: int) -> RankingBatch:
    """The first answers of all rankings, then the second ones, and so on."""
    order = sorted((number, index) for index, ranking in enumerate(rankings) for number in range(len(ranking.answers)))
    row = {(index, number): at for at, (number, index) in enumerate(order)}
    pairs = [
        (row[index, better], row[index, worse], index)
        for index, ranking in enumerate(rankings)
        for better, worse in ranking.pairs
    ]
    answers = [rankings[index].answers[number] for number, index in order]
    better_E, worse_E, ranking_E = torch.tensor(pairs).unbind(1)
    return RankingBatch(collate(answers, pad), better_E, worse_E, ranking_E, len(rankings))
