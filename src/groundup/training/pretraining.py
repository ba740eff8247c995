"""Next-token prediction over token shards, as an objective for the training loop."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.shards.stream import SampleStream, Span
from groundup.shards.windows import Windows
from groundup.training.batch_size import BatchSizes, rows_of
from groundup.training.objective import Objective
from groundup.training.telemetry import run_lengths

VALIDATION_SAMPLES = 64  # per validation; the evaluation stage measures on all held-out documents


@dataclass(frozen=True)
class TokenBatch:
    inputs_BT: Tensor
    targets_BT: Tensor
    documents_BT: Tensor | None = None  # which document each input is of, where attention is kept inside documents

    def decoder_inputs(self) -> tuple[Tensor, Tensor | None]:
        """(token ids [B, T], documents [B, T]): what the decoder's features are computed from."""
        return self.inputs_BT, self.documents_BT

    def tokens_at(self, columns_L: Tensor) -> "TokenBatch":
        """The tokens of every row in these columns (int64), in this order: the part that one process computes."""
        documents_BL = None if self.documents_BT is None else self.documents_BT[:, columns_L]
        return TokenBatch(self.inputs_BT[:, columns_L], self.targets_BT[:, columns_L], documents_BL)


class Pretraining(Objective):
    """Draws sequences in a fresh order per epoch; a step's batch is a function of the step alone."""

    unit = "tokens"

    def __init__(
        self,
        train: SampleStream,
        heldout: Windows | None,
        *,
        batch_tokens: int,
        accumulate: int,
        sizes: BatchSizes | None = None,
        inside_documents: bool = False,
    ) -> None:
        """
        Args:
            sizes: of the micro-batches where they are not all of `batch_tokens` over `accumulate`.
            inside_documents: no token sees one of another document that shares its sequence.
        """
        self.train, self.heldout, self.accumulate = train, heldout, accumulate
        self.inside_documents = inside_documents
        self.sizes = sizes or BatchSizes(rows_of(batch_tokens, train.length, accumulate))
        self.rows = self.sizes.rows  # of a micro-batch

    @property
    def tokens_per_step(self) -> int:
        """Of a whole batch."""
        return self.rows * self.accumulate * self.train.length

    def draws(self, step: int) -> range:
        """The draws of a step, counted from 0, micro-batch after micro-batch."""
        return range(self.sizes.before(step) * self.accumulate, self.sizes.before(step + 1) * self.accumulate)

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[TokenBatch]:
        first, whole = self.draws(step).start, self.sizes.at(step)
        rows = data_rank.of(whole)
        return [self._drawn(first + part * whole + rows.start, len(rows)) for part in range(self.accumulate)]

    def _drawn(self, first: int, rows: int) -> TokenBatch:
        documents = self.train.documents(first, rows) if self.inside_documents else None
        return _shifted(self.train.batch(first, rows), documents)

    def spans(self, step: int) -> list[Span]:
        """The documents that a step, counted from 0, takes its tokens from."""
        return [span for draw in self.draws(step) for span in self.train.spans(draw)]

    def weight(self, batch: TokenBatch) -> float:
        return targets_of(batch)

    def lengths(self, batch: TokenBatch) -> list[int]:
        """Inputs of each piece of a micro-batch that attends to itself alone."""
        if batch.documents_BT is not None:
            return run_lengths(batch.documents_BT)
        rows, length = batch.inputs_BT.shape
        return [length] * rows

    def loss(self, model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
        return next_token_loss(model, batch)

    def validate(self, engine: Engine) -> dict[str, float]:
        """Mean nats per token over the first held-out sequences."""
        if self.heldout is None:
            return {}
        samples = np.arange(min(VALIDATION_SAMPLES, len(self.heldout)))
        batches = []
        for start in range(0, len(samples), self.rows):
            chosen = samples[start : start + self.rows]
            documents = self.heldout.documents(chosen) if self.inside_documents else None
            batches.append(_shifted(self.heldout.rows(chosen), documents))
        total, _ = engine.evaluate(batches, self.loss)
        return {"heldout_loss": total / sum(map(self.weight, batches))}


def targets_of(batch: TokenBatch) -> int:
    """How many tokens a micro-batch's loss is the sum over."""
    return batch.targets_BT.numel()


def next_token_loss(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    """The sum of the cross-entropy over a micro-batch's targets, and no statistics."""
    assert isinstance(model, CustomLanguageModel)
    device = model.lm_head.weight.device
    documents_BT = None if batch.documents_BT is None else batch.documents_BT.to(device)
    inputs_BT, targets_BT = batch.inputs_BT.to(device), batch.targets_BT.to(device)
    return model.loss_sum(inputs_BT, targets_BT, documents_BT, auxiliary=torch.is_grad_enabled()), {}


def _shifted(tokens_BT1: NDArray[np.int64], documents_BT: NDArray[np.int64] | None) -> TokenBatch:
    rows = torch.from_numpy(tokens_BT1)
    return TokenBatch(rows[:, :-1], rows[:, 1:], None if documents_BT is None else torch.from_numpy(documents_BT))
