"""One objective for PPO, GRPO, Dr.GRPO, DAPO, RLOO, GSPO and REINFORCE++: these are presets of its configuration.

A step of the training loop is an iteration: sample answers to a batch of prompts, score them, estimate how much better
each token was than expected, and pass a few times over the answers, moving the policy (and the critic, where there is
one). The presets differ in the estimator, in how the policy's change is measured and clipped, in what an answer counts,
and in where the KL penalty against the reference (the SFT model) is applied.

What decides whether it is right (references in losses.py): as a reward the penalty is k1, as a loss the k2 of whole
answers; old log-probabilities come from the forward pass that trains, so that the ratio is exactly 1 before the first
update; the stop token is an action and carries the score; temperature divides the logits in sampling and in training;
sampling is from the full distribution; sums are divided by the counts of the whole minibatch, over all processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from groundup.alignment.advantages import KlController, generalised, group_mean, leave_one_out, token_rewards, whiten
from groundup.alignment.answers import AnswerBatch, answer_log_probabilities, collate, log_probabilities
from groundup.alignment.configuration import PolicyConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy
from groundup.alignment.looks import Looks
from groundup.alignment.losses import kl_k1, kl_k2, kl_k3, masked_mean, policy_loss, policy_ratio, value_loss
from groundup.alignment.packing import pack
from groundup.alignment.rollout import Rollout, Sampler
from groundup.errors import GroundupError
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Snapshot, below
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.device import Precision
from groundup.parallel.engine import Engine, Statistics, StepResult
from groundup.shards.order import Permutation
from groundup.training.objective import Objective

MAX_SAMPLER_GAP = {"fp32": 1e-5, "bf16": 0.02, "fp16": 0.02}  # mean nats a token between sampler and trainer
MAX_START_KL = 1e-3  # nats per token: far above bf16's rounding in batches of other shapes, far below a real difference
CRITIC = "critic."


@dataclass(frozen=True)
class Experience:
    """A rollout with what the updates are made of."""

    rollout: Rollout
    advantages_BR: Tensor
    returns_BR: Tensor
    weights_BR: Tensor  # what each token counts within its answer, 0 after its end
    beta: float  # of the KL in the loss
    figures: dict[str, float]


@dataclass(frozen=True)
class Minibatch:
    """Some of an iteration's answers; suffixes as in `Rollout`."""

    batch: AnswerBatch
    old_BR: Tensor
    reference_BR: Tensor
    values_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor
    weights_BR: Tensor  # their sum over the whole minibatch is its number of tokens

    @property
    def lengths(self) -> list[int]:
        return self.batch.lengths


class PolicyObjective(Objective):
    """Moves a policy towards what a reward prefers, without leaving the reference too far."""

    unit = "tokens"

    def __init__(
        self,
        sampler: Sampler,
        config: PolicyConfig,
        critic: Engine | None = None,
        ranks: int = 1,
        looks: Looks | None = None,
    ) -> None:
        """
        Args:
            critic: the engine of a `ScalarModel`; needed for the estimator `gae` where the policy is no
                `ValuedPolicy`, and for nothing else.
            ranks: of the data, among which each minibatch is divided.
            looks: what `validate` measures; None: nothing.

        Raises:
            GroundupError: a minibatch has fewer answers than there are ranks.
        """
        smallest = config.rollouts % config.minibatch or config.minibatch
        if smallest < ranks:
            raise GroundupError(
                f"a minibatch of {smallest} answers can't be divided among {ranks} processes",
                where="ppo.minibatch",
                do=f"let minibatch divide rollouts ({config.rollouts}) and be at least {ranks}",
            )
        assert (critic is not None) == (config.advantage == "gae" and not config.valued)
        self.sampler, self.config, self.critic, self.looks = sampler, config, critic, looks
        self.per_epoch = -(-config.rollouts // config.minibatch)
        self.updates = config.epochs * self.per_epoch
        self.kl = KlController(config.kl, config.kl_target, config.kl_horizon)
        self.figures: dict[str, float] = {}  # of the last iteration
        self.experience: Experience | None = None
        self._precision: Precision = "fp32"
        self._far = False  # the policy has moved as far as `kl_stop` allows

    def prepare(self, step: int, engine: Engine) -> dict[str, float]:
        """Sample, score, and estimate advantages.

        Raises:
            GroundupError: the sampler drew tokens with other probabilities than the trainer computes.
        """
        self.experience = self.estimate(self.sampler.rollout(step, engine, self.critic))
        self.figures = self.experience.figures
        self._precision = engine.precision
        if "sampler_gap" in self.figures:
            self._check_sampler(self.figures["sampler_gap"], f"iteration {step + 1}")
        self.kl.update(self.figures["kl"], self.config.rollouts)
        return self.figures

    def _check_sampler(self, gap: float, where: str) -> None:
        allowed = MAX_SAMPLER_GAP[self._precision]
        if not gap <= allowed:
            raise GroundupError(
                f"the sampler drew tokens with other probabilities than the trainer computes: on average they differ "
                f"by {gap:.2g} nats, and rounding in {self._precision} explains {allowed:g}",
                where=where,
                do="report this as a bug",
            )

    def estimate(self, rollout: Rollout) -> Experience:
        """Advantages, and figures of the rollout."""
        config, mask_BR, beta = self.config, rollout.mask_BR, self.kl.beta
        score_B = rollout.scores_B - config.missing_end_penalty * (~rollout.ended_B).float()
        read_B = ~rollout.reference_BR.isnan().any(1)
        read = max(1, int(read_B.sum()))
        reference_BR = torch.where(read_B[:, None], rollout.reference_BR, rollout.old_BR)
        kl_BR, kl_k2_BR, kl_k3_BR = (kl(rollout.old_BR, reference_BR) * mask_BR for kl in (kl_k1, kl_k2, kl_k3))
        in_reward = beta if config.kl_in == "reward" else 0.0
        rewards_BR = token_rewards(score_B, kl_BR, mask_BR, in_reward)
        figures = {
            "score": float(rollout.scores_B.mean()),
            "reward": float(rewards_BR.sum(1).mean()),
            "kl": float(kl_BR.sum()) / read,
            "kl_k2": float(kl_k2_BR.sum()) / read,
            "kl_k3": float(kl_k3_BR.sum()) / read,
            "kl_beta": beta,
            "ended": float(rollout.ended_B.float().mean()),
            "answer_tokens": float(mask_BR.sum(1).mean()),
        }
        if not config.one_update:
            figures["sampler_gap"] = float(masked_mean((rollout.old_BR - rollout.sampled_BR).abs(), mask_BR))
            figures["entropy"] = float(masked_mean(rollout.entropy_BR, mask_BR))
        returns_BR = rewards_BR
        if config.advantage in ("gae", "return"):
            lam = config.gae_lambda if config.advantage == "gae" else 1.0
            if config.whiten_rewards:
                rewards_BR = whiten(rewards_BR, mask_BR, keep_mean=True)
            advantages_BR, returns_BR = generalised(rewards_BR, rollout.values_BR, mask_BR, config.gamma, lam)
            if config.advantage == "gae":
                figures["explained_variance"] = _explained(advantages_BR, returns_BR, rollout.values_BR, mask_BR)
            if config.whiten:
                advantages_BR = whiten(advantages_BR, mask_BR)
        else:
            reward_B = rewards_BR.sum(1)
            if config.advantage == "group":
                advantage_B = group_mean(reward_B, config.group, config.group_std)
            else:
                advantage_B = leave_one_out(reward_B, config.group)
            advantages_BR = advantage_B[:, None] * mask_BR
            figures["groups_alike"] = float((~rollout.mixed_groups(config.group)).float().mean())
        if config.sampler_ratio is not None:
            ratio_BR = torch.exp(rollout.old_BR - rollout.sampled_BR).clamp(max=config.sampler_ratio)
            advantages_BR = advantages_BR * ratio_BR  # the loss is linear in them
        return Experience(rollout, advantages_BR, returns_BR, self.weights(mask_BR), beta - in_reward, figures)

    def weights(self, mask_BR: Tensor) -> Tensor:
        """What each token counts within its answer, [B, R]."""
        match self.config.normaliser:
            case "token":
                return mask_BR
            case "sequence":
                return mask_BR / mask_BR.sum(1, keepdim=True)
            case "constant":
                return mask_BR / self.config.max_answer_tokens

    def batches(self, update: int, data_rank: DataRank = SINGLE) -> list[Minibatch]:
        """Answers of the last `prepare`, each epoch in another order."""
        assert self.experience is not None, "prepare comes first"
        epoch, part = divmod(update, self.per_epoch)
        count = len(self.experience.rollout)
        order = Permutation(count, self.sampler.seed, epoch)(np.arange(count)).tolist()
        drawn = order[part * self.config.minibatch : (part + 1) * self.config.minibatch]
        every = min(self.config.accumulate, len(drawn) // data_rank.size) * data_rank.size
        teaching = self._teaching(self.experience, drawn, every)
        scale = self._scale(self.experience, drawn, teaching)
        return [
            self._minibatch(self.experience, teaching[first::every], scale)
            for first in range(data_rank.rank, every, data_rank.size)
        ]

    def _teaching(self, experience: Experience, drawn: Sequence[int], at_least: int) -> list[int]:
        """Those of the drawn answers that can move the policy. Where there is no KL in the loss, an answer of a group
        whose scores are all alike has no gradient, and is not read; every micro-batch still gets an answer."""
        if self.config.advantage not in ("group", "leave_one_out") or experience.beta:
            return list(drawn)
        moving_B = (experience.advantages_BR != 0).any(1).tolist()
        teaching = [index for index in drawn if moving_B[index]]
        others = [index for index in drawn if not moving_B[index]]
        return teaching + others[: max(0, at_least - len(teaching))]

    def _scale(self, experience: Experience, drawn: Sequence[int], read: Sequence[int]) -> float:
        """What makes losses that the engine divides by the tokens that are read be divided as `normaliser` says: by the
        number of all drawn tokens or answers."""
        mask_BR = experience.rollout.mask_BR
        divisor = float(mask_BR[drawn].sum()) if self.config.normaliser == "token" else len(drawn)
        return float(mask_BR[read].sum()) / divisor

    def _minibatch(self, experience: Experience, indices: Sequence[int], scale: float) -> Minibatch:
        rollout = experience.rollout
        device = rollout.mask_BR.device
        answers = [rollout.answers[index] for index in indices]
        if self.config.pack:
            batch = pack(answers, rollout.context, self.sampler.pad).to(device)
            assert batch.documents_BT is not None
            order = torch.unique_consecutive(batch.documents_BT[batch.answer_BT]).tolist()
            indices = [indices[index] for index in order]
        else:
            batch = collate(answers, self.sampler.pad, device)
        width, rows = batch.mask_BR.shape[1], torch.tensor(indices, device=device)
        known = (
            rollout.old_BR,
            rollout.reference_BR,
            rollout.values_BR,
            experience.advantages_BR,
            experience.returns_BR,
            experience.weights_BR * scale,
        )
        return Minibatch(batch, *(x_BR[rows, :width] for x_BR in known))

    def weight(self, batch: Minibatch) -> float:
        return batch.batch.tokens

    def loss(self, model: nn.Module, batch: Minibatch) -> tuple[Tensor, Statistics]:
        assert self.experience is not None
        config, mask_BR = self.config, batch.batch.mask_BR.float()
        values_N, old_BR = None, batch.old_BR
        watched = dict[str, Tensor]()
        if isinstance(model, ValuedPolicy):
            logp_N, values_N = model.answers(batch.batch, config.temperature)
        elif config.one_update:
            logp_N, entropy_N = log_probabilities(model, batch.batch, config.temperature)
            drawn_BR, old_BR = old_BR, batch.batch.rows(logp_N.detach())
            watched = {"entropy": batch.batch.rows(entropy_N), "sampler_gap": (old_BR - drawn_BR).abs()}
        else:
            logp_N = answer_log_probabilities(model, batch.batch, config.temperature)
        logp_BR = batch.batch.rows(logp_N)
        loss_BR = policy_loss(
            logp_BR,
            old_BR,
            batch.advantages_BR,
            mask_BR,
            config.clip,
            config.clip_high,
            config.ratio,
            reduction="none",
        )
        if self.experience.beta:
            loss_BR = loss_BR + self.experience.beta * kl_in_loss(logp_BR, batch.reference_BR, mask_BR)
        with torch.no_grad():
            ratio_BR = policy_ratio(logp_BR, old_BR, mask_BR, config.ratio)
            high = config.clip if config.clip_high is None else config.clip_high
            better_BR = batch.advantages_BR > 0
            clipped_BR = torch.where(better_BR, ratio_BR > 1 + high, ratio_BR < 1 - config.clip)
            watched |= {
                "clip_fraction": clipped_BR * (batch.advantages_BR != 0),
                "approximate_kl": kl_k2(logp_BR, old_BR),
                "approximate_kl_k3": kl_k3(logp_BR, old_BR),
                "ratio": ratio_BR.expand_as(mask_BR),
                "squared_ratio": ratio_BR.expand_as(mask_BR) ** 2,
            }
            statistics = {name: (x_BR * mask_BR).sum() for name, x_BR in watched.items()}
        loss = (loss_BR * batch.weights_BR).sum()
        if values_N is not None:
            error = self._value_losses(batch, values_N).sum()
            loss, statistics["value_loss"] = loss + error, error.detach()
        return loss, statistics

    def after(self, update: int, batches: Sequence[Any], learning_rate: float, result: StepResult) -> dict[str, float]:
        """Train the critic on the same answers; the effective sample size as a fraction of the minibatch's tokens.

        Raises:
            GroundupError: before an iteration's first update the policy is not the one that sampled.
        """
        where = f"iteration {update // self.updates + 1}"
        start_kl = result.statistics["approximate_kl"]
        if update % self.updates == 0 and start_kl > MAX_START_KL:
            raise GroundupError(
                f"before the first update the KL is {start_kl:.5f} nats a token, not 0: the log-probabilities of "
                "sampling and training differ",
                where=where,
                do="report this as a bug",
            )
        if self.config.one_update:
            self.figures |= {name: result.statistics[name] for name in ("sampler_gap", "entropy")}
            self._check_sampler(self.figures["sampler_gap"], where)
        self._far = self.config.kl_stop is not None and result.statistics["approximate_kl_k3"] > self.config.kl_stop
        figures = {"effective_samples": result.statistics["ratio"] ** 2 / max(1e-9, result.statistics["squared_ratio"])}
        if self.critic is None:
            return figures
        speed = self.config.critic_speed
        learnt = self.critic.train_step(
            batches,
            [self.weight(batch) for batch in batches],
            self._value_loss,
            learning_rate * speed,
            self.config.clip_norm,
            where=f"{where}, critic",
        )
        return figures | {"value_loss": learnt.loss}

    def enough(self) -> bool:
        return self._far

    def validate(self, engine: Engine) -> dict[str, float]:
        """True score, the reward's score and how many answers ended, on the tune set."""
        return self.looks.measure(engine) if self.looks is not None else {}

    def _value_loss(self, model: nn.Module, minibatch: Minibatch) -> tuple[Tensor, Statistics]:
        assert isinstance(model, ScalarModel)
        return self._value_losses(minibatch, model.values(minibatch.batch)).sum(), {}

    def _value_losses(self, minibatch: Minibatch, values_N: Tensor) -> Tensor:
        """Of each token, [B, R], by its weight in the loss."""
        batch, config = minibatch.batch, self.config
        known = minibatch.values_BR, minibatch.returns_BR, batch.mask_BR.float()
        losses_BR = value_loss(batch.rows(values_N), *known, config.value_clip, reduction="none")
        return config.value_coefficient * losses_BR

    def snapshot(self) -> Snapshot:
        return {} if self.critic is None else below(CRITIC, self.critic.snapshot())

    def values(self) -> dict[str, Any]:
        return {"beta": self.kl.beta, "figures": self.figures}

    def restore(self, tensors: TensorFiles, values: Mapping[str, Any]) -> None:
        if self.critic is not None:
            self.critic.load(tensors.below(CRITIC))
        self.kl.beta, self.figures = values["beta"], values["figures"]


def kl_in_loss(logp_BR: Tensor, reference_BR: Tensor, mask_BR: Tensor) -> Tensor:
    """An answer's KL (k2), divided among its tokens: its gradient on-policy is that of the KL between answers.

    Summed over single tokens the estimators ignore that a token also decides which tokens follow. Where answers
    have several, that leads to another policy than the best one (tests/alignment/test_optimum.py).
    """
    logp_B1, reference_B1 = ((x_BR * mask_BR).sum(1, keepdim=True) for x_BR in (logp_BR, reference_BR))
    return kl_k2(logp_B1, reference_B1) / mask_BR.sum(1, keepdim=True).clamp(min=1)


def _explained(advantages_BR: Tensor, returns_BR: Tensor, values_BR: Tensor, mask_BR: Tensor) -> float:
    """The fraction of the returns' variance that the critic explains."""
    errors_BR = returns_BR - values_BR
    unexplained = masked_mean(errors_BR**2, mask_BR) - masked_mean(advantages_BR, mask_BR) ** 2
    variance = masked_mean(returns_BR**2, mask_BR) - masked_mean(returns_BR, mask_BR) ** 2
    return float(1 - unexplained / variance.clamp(min=1e-8))
