"""Direct preference optimisation: the objective and the stage. No reward model, no sampling, the pairs themselves."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from groundup.alignment.answers import AnswerBatch, summed_log_probabilities
from groundup.alignment.configuration import DpoConfig
from groundup.alignment.data.pairs import read_pairs
from groundup.alignment.losses import dpo
from groundup.alignment.pair_objective import EncodedPair, PairObjective
from groundup.alignment.training import PAIRS, StageTraining, encode_pair
from groundup.artifacts import Artifact, Figures, Work
from groundup.model.lora import adapters_off
from groundup.parallel.engine import Statistics


class DpoObjective(PairObjective):
    """The policy against the frozen reference on each pair."""

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        heldout: Sequence[EncodedPair],
        reference: nn.Module | None,
        *,
        beta: float,
        label_smoothing: float,
        **drawing: int,
    ) -> None:
        """
        Args:
            reference: None: the policy with its adapters switched off.
            drawing: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`.
        """
        super().__init__(pairs, heldout, **drawing)
        self.reference, self.beta, self.label_smoothing = reference, beta, label_smoothing

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        """The chosen answer's log-probability may fall while the loss does: both are logged."""
        batch = batch.to(next(model.parameters()).device)
        chosen_B, rejected_B = summed_log_probabilities(model, batch).chunk(2)
        with torch.no_grad(), adapters_off(model):
            reference = summed_log_probabilities(self.reference or model, batch)
        reference_chosen_B, reference_rejected_B = reference.chunk(2)
        loss_B = dpo(chosen_B, rejected_B, reference_chosen_B, reference_rejected_B, self.beta, self.label_smoothing)
        margin_B = (chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B)
        watch = {
            "accuracy": (margin_B > 0).sum(),
            "chosen_gain": (chosen_B - reference_chosen_B).sum().detach(),
            "rejected_gain": (rejected_B - reference_rejected_B).sum().detach(),
        }
        return loss_B.sum(), watch


def stage(config: DpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the SFT model towards the chosen answers of the reward stage's pairs; writes `model/`."""
    training = StageTraining("dpo", config, inputs, "sft", work)
    start = training.model()
    shape = start.config
    policy = training.engine(start)
    reference = None if config.lora else training.model().to(policy.device).requires_grad_(False)
    pairs = {
        split: [
            encode_pair(pair, training.tokenizer, shape.max_position_embeddings)
            for pair in read_pairs(inputs["reward"].file(PAIRS), split)
        ]
        for split in ("train", "heldout")
    }
    objective = DpoObjective(
        pairs["train"],
        pairs["heldout"],
        reference,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        pad=training.tokenizer.pad,
        seed=work.seed,
    )
    steps = math.ceil(config.epochs * len(pairs["train"]) / config.batch_pairs)
    figures = training.train(policy, objective, steps, shape, passes=4 / 3)
    training.save(policy)
    summary = f"{len(pairs['train']):,} pairs"
    return {"summary": summary, "pairs": len(pairs["train"]), "steps": steps, "precision": policy.precision, **figures}
