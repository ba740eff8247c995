"""Learning from preferences directly: one objective with a table of losses (DPO and its relatives), and the stage.

There is no reward model and no sampling: the policy is moved towards the chosen answers of pairs and away from the
rejected ones, measured against the frozen reference it started from.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from groundup.alignment.answers import AnswerBatch, summed_log_probabilities
from groundup.alignment.configuration import DpoConfig, RewardConfig
from groundup.alignment.losses import WITHOUT_REFERENCE, PairLogProbabilities, kto, preference_loss
from groundup.alignment.pair_objective import EncodedPair, PairObjective
from groundup.alignment.stage_pairs import stage_pairs
from groundup.alignment.training import StageTraining, cut_pairs
from groundup.artifacts import Artifact, Figures, Work
from groundup.model.lora import adapters_off
from groundup.parallel.engine import Statistics


class PreferenceObjective(PairObjective):
    """The policy against the frozen reference on each pair, by the loss that the configuration names."""

    def __init__(
        self,
        pairs: Sequence[EncodedPair],
        validation: Sequence[EncodedPair],
        reference: nn.Module | None,
        *,
        loss: str = "sigmoid",
        beta: float = 0.1,
        label_smoothing: float = 0.0,
        nll: float = 0.0,
        **drawing: int,
    ) -> None:
        """
        Args:
            reference: None: the policy with its adapters switched off.
            loss: a name in `losses.PREFERENCE_LOSSES`, or `kto`; the other arguments as in `preference_loss`.
            drawing: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`.
        """
        super().__init__(pairs, validation, **drawing)
        self.reference, self.name, self.beta = reference, loss, beta
        self.label_smoothing, self.nll = label_smoothing, nll

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        """The chosen answer's log-probability may fall while the loss does: its change is among the statistics."""
        batch = batch.to(next(model.parameters()).device)
        policy_B = summed_log_probabilities(model, batch)
        reference_B = torch.zeros_like(policy_B)
        if self.name not in WITHOUT_REFERENCE:
            with torch.no_grad(), adapters_off(model):
                reference_B = summed_log_probabilities(self.reference or model, batch)
        pairs = PairLogProbabilities(
            *policy_B.chunk(2), *reference_B.chunk(2), *batch.mask_BR.sum(1).to(policy_B.dtype).chunk(2)
        )
        if self.name == "kto":
            loss = self._kto(policy_B - reference_B)
        else:
            loss = preference_loss(pairs, self.name, self.beta, self.label_smoothing, self.nll, "sum")
        statistics = {
            "accuracy": (pairs.margin > 0).sum(),
            "chosen_gain": pairs.chosen_gain.sum().detach(),
            "rejected_gain": pairs.rejected_gain.sum().detach(),
        }
        return loss, statistics

    def _kto(self, gain_B: Tensor) -> Tensor:
        """Both answers of a pair as examples of their own; the baseline is the batch's mean gain (at least 0), an
        estimate of the policy's KL that needs no further forward pass."""
        good_B = torch.arange(len(gain_B), device=gain_B.device) < len(gain_B) // 2
        baseline = gain_B.detach().mean().clamp(min=0)
        return kto(gain_B, good_B, baseline, self.beta, "sum") / 2


def stage(config: DpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the model towards the chosen answers of pairs; writes `model/` and `pairs.jsonl`."""
    training = StageTraining("dpo", config, inputs, "sft", work)
    start = training.model()
    shape = start.config
    policy = training.engine(start)
    reference = None if config.lora else training.model().to(policy.device).requires_grad_(False)
    context = shape.max_position_embeddings
    complete = config.with_pairs_of(RewardConfig())
    assert complete.pairs_per_subject and complete.samples_per_subject is not None and complete.heldout
    pairs = stage_pairs(
        training,
        inputs,
        context,
        data=complete.data,
        per_subject=complete.pairs_per_subject,
        samples_per_subject=complete.samples_per_subject,
        heldout=complete.heldout,
    )
    objective = PreferenceObjective(
        pairs.train,
        pairs.heldout,
        reference,
        loss=config.loss,
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        nll=config.nll,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        pad=training.tokenizer.pad,
        seed=work.seed,
    )
    steps = math.ceil(config.epochs * len(pairs.train) / config.batch_pairs)
    figures = training.train(policy, objective, steps, shape, passes=4 / 3)
    training.save(policy)
    cut = cut_pairs([*pairs.train, *pairs.heldout], training.tokenizer)
    summary = f"{len(pairs.train):,} pairs{pairs.noted}" + (f", {cut:,} pairs cut at the context" if cut else "")
    return {
        "summary": summary,
        "pairs": len(pairs.train),
        "heldout_pairs": len(pairs.heldout),
        "cut_pairs": cut,
        "steps": steps,
        "precision": policy.precision,
        **pairs.figures,
        **figures,
    }
