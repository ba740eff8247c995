"""Direct preference optimisation as an objective: no reward model and no sampling, the pairs themselves."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundup.alignment.answers import AnswerBatch, summed_log_probabilities
from groundup.alignment.losses import dpo
from groundup.alignment.pair_objective import EncodedPair, PairObjective
from groundup.parallel.engine import Statistics


class DpoObjective(PairObjective):
    """The policy against the frozen reference on each pair."""

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        heldout: Sequence[EncodedPair],
        reference: nn.Module,
        *,
        beta: float,
        label_smoothing: float,
        **drawing: int,
    ) -> None:
        """`drawing`: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`."""
        super().__init__(pairs, heldout, **drawing)
        self.reference, self.beta, self.label_smoothing = reference, beta, label_smoothing

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        """The chosen answer's log-probability may fall while the loss does: both are logged."""
        batch = batch.to(next(model.parameters()).device)
        chosen_B, rejected_B = summed_log_probabilities(model, batch).chunk(2)
        with torch.no_grad():
            reference = summed_log_probabilities(self.reference, batch)
        reference_chosen_B, reference_rejected_B = reference.chunk(2)
        loss_B = dpo(chosen_B, rejected_B, reference_chosen_B, reference_rejected_B, self.beta, self.label_smoothing)
        margin_B = (chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B)
        watch = {
            "accuracy": (margin_B > 0).sum(),
            "chosen_gain": (chosen_B - reference_chosen_B).sum().detach(),
            "rejected_gain": (rejected_B - reference_rejected_B).sum().detach(),
        }
        return loss_B.sum(), watch
