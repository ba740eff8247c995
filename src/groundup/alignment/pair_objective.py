"""What reward models and DPO share: pairs of a chosen and a rejected answer, drawn and laid out by step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, collate
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.shards.order import samples_at

EVALUATED = 64  # pairs at a time
EncodedPair = tuple[Answer, Answer]  # (chosen, rejected)


class PairObjective(ABC):
    """Draws `batch` pairs a step, in a fresh order per epoch, and splits them into `accumulate` micro-batches.

    A step's batch is a function of the step.
    """

    unit = "pairs"

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        heldout: Sequence[EncodedPair],
        *,
        batch: int,
        accumulate: int,
        pad: int,
        seed: int,
    ) -> None:
        self.pairs, self.heldout = list(pairs), list(heldout)
        self.batch, self.accumulate, self.pad, self.seed = batch, accumulate, pad, seed

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[AnswerBatch]:
        places = samples_at(step * self.batch, self.batch, len(self.pairs), self.seed).tolist()
        drawn = [self.pairs[place] for place in places]
        every = self.accumulate * data_rank.size
        parts = range(data_rank.rank, min(every, self.batch), data_rank.size)
        return [collate_pairs(drawn[i::every], self.pad) for i in parts]

    def weight(self, batch: AnswerBatch) -> float:
        """Pairs."""
        return len(batch) / 2

    @abstractmethod
    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        """(sum over pairs, sums of what is watched, `accuracy` among them)."""

    def validate(self, engine: Engine) -> dict[str, float]:
        """The share of held-out pairs that are ranked right."""
        if not self.heldout:
            return {}
        starts = range(0, len(self.heldout), EVALUATED)
        batches = [collate_pairs(self.heldout[start : start + EVALUATED], self.pad) for start in starts]
        _, sums = engine.evaluate(batches, self.loss)
        return {"heldout_accuracy": sums["accuracy"] / len(self.heldout)}


def collate_pairs(pairs: Sequence[EncodedPair], pad: int) -> AnswerBatch:
    """Chosen answers in the first half of the rows, rejected ones in the second."""
    return collate([chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs], pad)
