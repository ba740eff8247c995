"""Supervised fine-tuning as an objective for the training loop: the loss is on answers and their stop token only."""

from collections.abc import Sequence

from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, collate, log_probabilities
from groundup.alignment.packing import pack
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.shards.order import Permutation, sample_at

EVALUATED = 64  # rows at a time
SORTED_STEPS = 8  # batches whose examples are sorted by length together, so that little is padded


class Lesson:
    """One thing to learn, in all its phrasings."""

    def __init__(self, variants: Sequence[Answer]) -> None:
        self.variants = list(variants)


class SftObjective:
    """Draws lessons in a fresh order per epoch, and of each the next phrasing.

    Draw k is lesson `sample_at(k)`; batches of `SORTED_STEPS` steps are filled together by length, packed ones in the
    order of draws. So a step's batch is a function of the step, and the loop's place is one integer.
    """

    unit = "tokens"

    def __init__(
        self,
        lessons: Sequence[Lesson],
        heldout: Sequence[Answer],
        *,
        batch: int,
        accumulate: int,
        pad: int,
        seed: int,
        context: int | None = None,
    ) -> None:
        """`context`: pack examples into rows of so many tokens; None: a row each, padded to the longest."""
        self.lessons, self.heldout = list(lessons), list(heldout)
        self.batch, self.accumulate, self.pad, self.seed = batch, accumulate, pad, seed
        self.context = context
        self._group = -1
        self._batches: list[list[Answer]] = []

    def example(self, draw: int) -> Answer:
        epoch = draw // len(self.lessons)
        index = sample_at(draw, len(self.lessons), self.seed)
        variants = self.lessons[index].variants
        return variants[(epoch + index) % len(variants)]

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[AnswerBatch]:
        every = self.accumulate * data_rank.size
        parts = range(data_rank.rank, min(every, self.batch), data_rank.size)
        if self.context is not None:
            chosen = [self.example(step * self.batch + offset) for offset in range(self.batch)]
            return [pack(chosen[i::every], self.context, self.pad) for i in parts]
        group, place = divmod(step, SORTED_STEPS)
        if group != self._group:
            first = group * SORTED_STEPS * self.batch
            drawn = [self.example(first + offset) for offset in range(SORTED_STEPS * self.batch)]
            drawn.sort(key=len)
            order = Permutation(SORTED_STEPS, self.seed, group)
            pieces = [drawn[i * self.batch : (i + 1) * self.batch] for i in range(SORTED_STEPS)]
            self._batches, self._group = [pieces[int(order(i))] for i in range(SORTED_STEPS)], group
        chosen = self._batches[place]
        return [collate(chosen[i::every], self.pad) for i in parts]

    def sizes(self, steps: int) -> tuple[int, int]:
        """(tokens of the examples, tokens of the batches that hold them) of the first `steps` steps."""
        batches = [batch for step in range(steps) for batch in self.batches(step)]
        examples = sum(len(self.example(draw)) for draw in range(steps * self.batch))
        return examples, sum(batch.ids_BT.numel() for batch in batches)

    def weight(self, batch: AnswerBatch) -> float:
        return batch.tokens

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        batch = batch.to(next(model.parameters()).device)
        logp_N, _ = log_probabilities(model, batch)
        return -logp_N.sum(), {}

    def validate(self, engine: Engine) -> dict[str, float]:
        """Mean nats per answer token on questions in phrasings that are not trained."""
        if not self.heldout:
            return {}
        starts = range(0, len(self.heldout), EVALUATED)
        batches = [collate(self.heldout[start : start + EVALUATED], self.pad) for start in starts]
        total, _ = engine.evaluate(batches, self.loss)
        return {"heldout_loss": total / sum(map(self.weight, batches))}
