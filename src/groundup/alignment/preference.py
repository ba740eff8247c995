"""Learning from preferences directly: one objective with a table of losses (DPO and its relatives), and the stage.

There is no reward model and no sampling: the policy is moved towards the chosen answers of pairs and away from the
rejected ones, measured against the model it started from, whose log-probabilities are computed before training
(`reference.py`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundup.alignment.answers import summed_log_probabilities
from groundup.alignment.configuration import DpoConfig, RewardConfig
from groundup.alignment.labelled import StageLabels, label_objective, labels_of, stage_labels
from groundup.alignment.losses import WITHOUT_REFERENCE, PairLogProbabilities, preference_loss
from groundup.alignment.pair_objective import EncodedPair, PairObjective, collate_pairs
from groundup.alignment.reference import (
    PreferenceBatch,
    ReferredPair,
    digests,
    read_reference,
    reference_of,
    with_reference,
    write_reference,
)
from groundup.alignment.stage_pairs import ranked_stage_pairs, stage_pairs
from groundup.alignment.stage_tasks import reward_of, taught_tasks
from groundup.alignment.training import StageTraining, cut_pairs
from groundup.artifacts import Artifact, Figures, Work
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import Engine, ModelOnDevice, Statistics

ROUNDING = 1e-4  # nats by which sums over one answer differ in two batches


class PreferenceObjective(PairObjective):
    """The policy against the frozen reference on each pair, by the loss that the configuration names."""

    def __init__(
        self,
        pairs: Sequence[ReferredPair],
        validation: Sequence[ReferredPair],
        *,
        loss: str = "sigmoid",
        beta: float = 0.1,
        label_smoothing: float = 0.0,
        nll: float = 0.0,
        **drawing: int,
    ) -> None:
        """
        Args:
            loss: a name in `losses.PREFERENCE_LOSSES`; the other arguments as in `preference_loss`.
            drawing: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`.
        """
        super().__init__(pairs, validation, **drawing)
        self.name, self.beta = loss, beta
        self.label_smoothing, self.nll = label_smoothing, nll

    def length(self, pair: ReferredPair) -> int:
        return max(len(pair.chosen), len(pair.rejected))

    def collated(self, pairs: Sequence[ReferredPair]) -> PreferenceBatch:
        batch = collate_pairs([(pair.chosen, pair.rejected) for pair in pairs], self.pad)
        return PreferenceBatch(
            **vars(batch), reference_B=torch.stack([pair.reference_2 for pair in pairs], 1).flatten()
        )

    def loss(self, model: nn.Module, batch: PreferenceBatch) -> tuple[Tensor, Statistics]:
        """The chosen answer's log-probability may fall while the loss does: its change is among the statistics."""
        batch = batch.to(next(model.parameters()).device)
        policy_B = summed_log_probabilities(model, batch)
        pairs = PairLogProbabilities(
            *policy_B.chunk(2), *batch.reference_B.chunk(2), *batch.mask_BR.sum(1).to(policy_B.dtype).chunk(2)
        )
        loss = preference_loss(pairs, self.name, self.beta, self.label_smoothing, self.nll, "sum")
        statistics = {
            "accuracy": (pairs.margin > ROUNDING).sum(),
            "chosen_gain": pairs.chosen_gain.sum().detach(),
            "rejected_gain": pairs.rejected_gain.sum().detach(),
        }
        return loss, statistics


def preference_objective(
    config: DpoConfig,
    pairs: Sequence[ReferredPair],
    heldout: Sequence[ReferredPair],
    *,
    pad: int,
    seed: int,
) -> PreferenceObjective:
    """What the section trains by on pairs, unless that is `kto`."""
    return PreferenceObjective(
        pairs,
        heldout,
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
    context = shape.max_position_embeddings
    complete = config.with_pairs_of(RewardConfig())
    assert complete.pairs_per_subject and complete.samples_per_subject is not None and complete.heldout
    if config.loss == "kto" and complete.data is not None:
        labels = stage_labels(training, context, complete.data, complete.heldout)
        return _on_labels(training, policy, config, labels)
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
    drawing: dict[str, Any] = {"pad": training.tokenizer.pad, "seed": work.seed}
    objective: PairObjective
    if config.loss == "kto":
        sides = labels_of(pairs.train), labels_of(pairs.heldout)
        objective = label_objective(config, *sides, _reference(training, policy, config), **drawing)
    else:
        known_P2 = _known(training, policy, config, [*pairs.train, *pairs.heldout])
        both = with_reference([*pairs.train, *pairs.heldout], known_P2)
        objective = preference_objective(config, both[: len(pairs.train)], both[len(pairs.train) :], **drawing)
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


def _known(training: StageTraining, policy: Engine, config: DpoConfig, pairs: Sequence[EncodedPair]) -> Tensor:
    """The log-probabilities of the model that training starts from, [P, 2]. They are computed once, also where the
    stage is killed later, and are a part of its artifact."""
    if config.loss in WITHOUT_REFERENCE:
        return torch.zeros(len(pairs), 2)
    work, wanted = training.work, digests(training.start.manifest.content, policy.precision, pairs)
    known_P2 = read_reference(work.keep, wanted)
    if policy.any(known_P2 is None):
        start = ModelOnDevice(training.model(), policy.device, policy.precision)
        known_P2 = reference_of(pairs, start, training.tokenizer.pad)
    assert known_P2 is not None
    if policy.leader:
        for folder in (work.keep, work.out):
            write_reference(folder, known_P2, wanted)
    return known_P2


def _reference(training: StageTraining, policy: Engine, config: DpoConfig) -> CustomLanguageModel | None:
    """What `kto` measures gains from; None: the policy with its adapters switched off."""
    return None if config.lora else training.model().to(policy.device).requires_grad_(False)


def _on_labels(training: StageTraining, policy: Engine, config: DpoConfig, labels: StageLabels) -> Figures:
    pad, seed = training.tokenizer.pad, training.work.seed
    reference = _reference(training, policy, config)
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
