"""Pairs of a chosen and a rejected answer, drawn and laid out by step: for reward models and for preferences."""

from collections.abc import Sequence
from typing import Any, ClassVar

from groundup.alignment.answers import Answer, AnswerBatch, collate
from groundup.alignment.by_length import SortedDraws
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine
from groundup.shards.order import samples_at
from groundup.training.objective import Objective

EVALUATED = 64  # pairs at a time
EncodedPair = tuple[Answer, Answer]  # (chosen, rejected)


class PairObjective(Objective):
    """Draws `batch` pairs a step, in a fresh order per epoch, and splits them into `accumulate` micro-batches.

    A step's batch is a function of the step. The loss of a subclass is summed over pairs, and its statistics contain
    `accuracy`, a count of pairs. A subclass may draw other examples, by its own `collated`, `length` and `weight`.
    """

    unit = "pairs"
    by_length: ClassVar[bool] = True
    """Whether the pairs of a step are about equally long."""

    def __init__(
        self,
        pairs: Sequence[Any],
        validation: Sequence[Any],
        *,
        batch: int,
        accumulate: int,
        pad: int,
        seed: int,
    ) -> None:
        self.pairs, self.validation = list(pairs), list(validation)
        self.batch, self.accumulate, self.pad, self.seed = batch, accumulate, pad, seed
        self._sorted: SortedDraws[Any] | None = None
        if self.by_length:
            self._sorted = SortedDraws(self._drawn, self.length, batch=batch, epoch=len(self.pairs), seed=seed)

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[Any]:
        drawn = self._sorted.at(step) if self._sorted else self._drawn(step * self.batch, self.batch)
        every = self.accumulate * data_rank.size
        parts = range(data_rank.rank, min(every, self.batch), data_rank.size)
        return [self.collated(drawn[i::every]) for i in parts]

    def _drawn(self, first: int, count: int) -> list[Any]:
        return [self.pairs[index] for index in samples_at(first, count, len(self.pairs), self.seed).tolist()]

    def length(self, pair: Any) -> int:
        """The tokens of one of `pairs`."""
        return max(map(len, pair))

    def collated(self, pairs: Sequence[Any]) -> Any:
        """Some of `pairs` or `validation` as a batch."""
        return collate_pairs(pairs, self.pad)

    def weight(self, batch: Any) -> float:
        """Pairs."""
        return len(batch) / 2

    def validate(self, engine: Engine) -> dict[str, float]:
        """The fraction of validation pairs that are ranked right."""
        if not self.validation:
            return {}
        starts = range(0, len(self.validation), EVALUATED)
        batches = [self.collated(self.validation[start : start + EVALUATED]) for start in starts]
        _, sums = engine.evaluate(batches, self.loss)
        return {"heldout_accuracy": sums["accuracy"] / len(self.validation)}


def collate_pairs(pairs: Sequence[EncodedPair], pad: int) -> AnswerBatch:
    """Chosen answers in the first half of the rows, rejected ones in the second."""
    return collate([chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs], pad)
