"""What reward models and DPO share: pairs of a chosen and a rejected answer, drawn and laid out by step."""

from collections.abc import Sequence

from groundup.alignment.answers import Answer, AnswerBatch, collate
from groundup.shards.order import samples_at

EncodedPair = tuple[Answer, Answer]  # (chosen, rejected)


class PairObjective:
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

    def batches(self, step: int) -> list[AnswerBatch]:
        places = samples_at(step * self.batch, self.batch, len(self.pairs), self.seed).tolist()
        drawn = [self.pairs[place] for place in places]
        return [collate_pairs(drawn[i :: self.accumulate], self.pad) for i in range(min(self.accumulate, self.batch))]

    def weight(self, batch: AnswerBatch) -> float:
        """Pairs."""
        return len(batch) / 2


def collate_pairs(pairs: Sequence[EncodedPair], pad: int) -> AnswerBatch:
    """Chosen answers in the first half of the rows, rejected ones in the second."""
    return collate([chosen for chosen, _ in pairs] + [rejected for _, rejected in pairs], pad)
