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
from groundup.alignment.labelled import StageLabels, label_objective, labels_of, stage_labels
from groundup.alignment.losses import WITHOUT_REFERENCE, PairLogProbabilities, preference_loss
from groundup.alignment.pair_objective import EncodedPair, PairObjective
from groundup.alignment.stage_pairs import ranked_stage_pairs, stage_pairs
from groundup.alignment.stage_tasks import reward_of, taught_tasks
from groundup.alignment.training import StageTraining, cut_pairs
from groundup.artifacts import Artifact, Figures, Work
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import adapters_off
from groundup.parallel.engine import Engine, Statistics


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
            loss: a name in `losses.PREFERENCE_LOSSES`; the other arguments as in `preference_loss`.
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
        loss = preference_loss(pairs, self.name, self.beta, self.label_smoothing, self.nll, "sum")
        statistics = {
            "accuracy": (pairs.margin > 0).sum(),
            "chosen_gain": pairs.chosen_gain.sum().detach(),
            "rejected_gain": pairs.rejected_gain.sum().detach(),
        }
        return loss, statistics


def preference_objective(
    config: DpoConfig,
    pairs: Sequence[EncodedPair],
    heldout: Sequence[EncodedPair],
    reference: nn.Module | None,
    *,
    pad: int,
    seed: int,
) -> PairObjective:
    """What the section trains by on pairs."""
    if config.loss == "kto":
        return label_objective(config, labels_of(pairs), labels_of(heldout), reference, pad=pad, seed=seed)
    return PreferenceObjective(
        pairs,
        heldout,
        reference,
        loss=config.loss,
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        nll=config.nll,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        pad=pad,
        seed=seed,
    )


def stage(config: DpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the model towards the chosen answers of pairs; writes `model/`, and `pairs.jsonl` or `labels.jsonl`."""
    training = StageTraining("dpo", config, inputs, "sft", work)
    start = training.model()
    shape = start.config
    policy = training.engine(start)
    reference = None if config.lora else training.model().to(policy.device).requires_grad_(False)
    context = shape.max_position_embeddings
    complete = config.with_pairs_of(RewardConfig())
    assert complete.pairs_per_subject and complete.samples_per_subject is not None and complete.heldout
    if config.loss == "kto" and complete.data is not None:
        labels = stage_labels(training, context, complete.data, complete.heldout)
        return _on_labels(training, policy, reference, config, labels)
    if config.own is not None:
        tasks, reward = taught_tasks(inputs, complete.pairs_per_subject), reward_of(training, inputs, policy)
        pairs = ranked_stage_pairs(training, tasks, reward, config.own, complete.heldout)
    else:
        pairs = stage_pairs(
            training,
            inputs,
            context,
            data=complete.data,
            per_subject=complete.pairs_per_subject,
            samples_per_subject=complete.samples_per_subject,
            heldout=complete.heldout,
        )
    pad = training.tokenizer.pad
    objective = preference_objective(config, pairs.train, pairs.heldout, reference, pad=pad, seed=work.seed)
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


def _on_labels(
    training: StageTraining,
    policy: Engine,
    reference: CustomLanguageModel | None,
    config: DpoConfig,
    labels: StageLabels,
) -> Figures:
    pad, seed = training.tokenizer.pad, training.work.seed
    objective = label_objective(config, labels.train, labels.heldout, reference, pad=pad, seed=seed)
    steps = math.ceil(config.epochs * len(labels.train) / objective.batch)
    figures = training.train(policy, objective, steps)
    training.save(policy)
    good = sum(is_good for _, is_good in labels.train)
    return {
        "summary": f"{len(labels.train):,} labelled answers, {good:,} of them good{labels.noted}",
        "answers": len(labels.train),
        "good_answers": good,
        "heldout_answers": len(labels.heldout),
        "steps": steps,
        "precision": policy.precision,
        **labels.figures,
        **figures,
    }
