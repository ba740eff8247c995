"""Direct preference optimisation as an objective: no reward model and no sampling, the pairs themselves."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundup.alignment.answers import AnswerBatch, summed_log_probabilities
from groundup.alignment.losses import dpo
from groundup.alignment.reward import EncodedPair, collate_pairs, draw_pairs
from groundup.parallel.engine import SingleDevice, Statistics


class DpoObjective:
    """The policy against the frozen reference on each pair."""

    unit = "pairs"

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        heldout: Sequence[EncodedPair],
        reference: nn.Module,
        *,
        batch: int,
        accumulate: int,
        beta: float,
        label_smoothing: float,
        pad: int,
        seed: int,
    ) -> None:
        self.pairs, self.heldout, self.reference = list(pairs), list(heldout), reference
        self.batch, self.accumulate, self.beta, self.label_smoothing = batch, accumulate, beta, label_smoothing
        self.pad, self.seed = pad, seed

    def batches(self, step: int) -> list[AnswerBatch]:
        drawn = draw_pairs(self.pairs, step, self.batch * self.accumulate, self.seed)
        return [collate_pairs(drawn[i :: self.accumulate], self.pad) for i in range(self.accumulate)]

    def weight(self, batch: AnswerBatch) -> float:
        return len(batch) / 2

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        """The chosen answer's log-probability may fall while the loss does: both are logged."""
        batch = batch.to(next(model.parameters()).device)
        chosen_B, rejected_B = summed_log_probabilities(model, batch).chunk(2)  # type: ignore[arg-type]
        with torch.no_grad():
            reference = summed_log_probabilities(self.reference, batch)  # type: ignore[arg-type]
        reference_chosen_B, reference_rejected_B = reference.chunk(2)
        loss_B = dpo(chosen_B, rejected_B, reference_chosen_B, reference_rejected_B, self.beta, self.label_smoothing)
        margin_B = (chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B)
        watch = {
            "accuracy": (margin_B > 0).sum(),
            "chosen_gain": (chosen_B - reference_chosen_B).sum().detach(),
            "rejected_gain": (rejected_B - reference_rejected_B).sum().detach(),
        }
        return loss_B.sum(), watch

    @torch.no_grad()
    def validate(self, engine: SingleDevice) -> dict[str, float]:
        if not self.heldout:
            return {}
        right = 0.0
        for start in range(0, len(self.heldout), 64):
            with engine.autocast():
                batch = collate_pairs(self.heldout[start : start + 64], self.pad)
                right += float(self.loss(engine.model, batch)[1]["accuracy"])
        return {"heldout_accuracy": right / len(self.heldout)}
