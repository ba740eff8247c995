"""Proximal policy optimisation against a reward model.

An iteration: sample answers to a batch of prompts from the policy; score them with the reward model; take at every
token a penalty for moving away from the reference (the SFT model); estimate advantages with the critic; then pass a
few times over the answers, moving the policy and the critic.

What decides whether it is right (references in losses.py): the penalty is k1 in the reward; old log-probabilities
come from the same forward pass that trains, so that the ratio is exactly 1 before the first update; the stop token
is an action and carries the score; temperature divides the logits in sampling and in training alike; sampling is
from the full distribution; sums are divided by the number of tokens of the whole minibatch.

Several processes share the work: each samples and scores some of the answers with whole models, then all know all of
them, so that rewards, whitening and figures are those of the whole iteration, and each trains on its engine's share.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, collate, log_probabilities
from groundup.alignment.configuration import PpoConfig
from groundup.alignment.data.examples import ask
from groundup.alignment.data.pairs import read_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, read_items
from groundup.alignment.losses import (
    KlController,
    advantages,
    kl_k1,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from groundup.alignment.reward import RewardModel, ScalarModel, Scale, load_reward_model
from groundup.alignment.training import ITEMS, PAIRS, StageTraining
from groundup.artifacts import Artifact, Figures, Work
from groundup.errors import GroundupError
from groundup.inference.generate import Sampling, ShardedSampling, generate
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import adapters_off
from groundup.parallel.checkpointing.crew import Crew
from groundup.parallel.checkpointing.part import below
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.progress import Progress
from groundup.shards.order import Permutation, samples_at
from groundup.training.checkpoint import Checkpoints
from groundup.training.schedule import learning_rate
from groundup.training.telemetry import Telemetry, memory

T = TypeVar("T")

FORWARD_ROWS = 64  # rows per forward pass where nothing is learnt
SAME = 1e-3  # nats per token: far above bf16's rounding in batches of other shapes, far below any real difference


@dataclass(frozen=True)
class Rollout:
    """The answers of one iteration and all that is known of them. Suffixes: B answers, R answer tokens."""

    answers: list[Answer]
    mask_BR: Tensor
    old_BR: Tensor  # log-probabilities under the policy that sampled
    values_BR: Tensor
    advantages_BR: Tensor  # whitened
    returns_BR: Tensor
    figures: dict[str, float]


@dataclass(frozen=True)
class _Minibatch:
    batch: AnswerBatch
    old_BR: Tensor
    values_BR: Tensor
    advantages_BR: Tensor
    returns_BR: Tensor


class Ppo:
    """Policy, critic, reference and reward model, and what happens in an iteration."""

    def __init__(
        self,
        policy: Engine,
        critic: Engine,
        reference: CustomLanguageModel | None,
        reward: RewardModel,
        scale: Scale,
        prompts: Sequence[list[int]],
        config: PpoConfig,
        *,
        stop: int,
        pad: int,
        seed: int,
    ) -> None:
        """`reference`: None: the policy with its adapters switched off."""
        self.policy, self.critic, self.reference, self.reward, self.scale = policy, critic, reference, reward, scale
        self.prompts, self.config, self.stop, self.pad, self.seed = list(prompts), config, stop, pad, seed
        self.kl = KlController(config.kl, config.kl_target, config.kl_horizon)
        smallest, shares = config.rollouts % config.minibatch or config.minibatch, policy.data_rank.size
        if smallest < shares:
            raise GroundupError(
                f"a minibatch of {smallest} answers can't be shared out over {shares} processes",
                where="ppo.minibatch",
                do=f"let minibatch divide rollouts ({config.rollouts}) and be at least {shares}",
            )
        self.crew = Crew()
        self.mine = DataRank(self.crew.rank, self.crew.size).of(config.rollouts)  # answers that this process samples
        for frozen in (reference, reward):
            if frozen is not None:
                frozen.requires_grad_(False)

    def sample(self, iteration: int) -> list[Answer]:
        """Answers to the iteration's prompts, a function of the iteration and the policy's weights."""
        with self.policy.whole() as policy:
            return self._sample(policy, iteration)

    def _sample(self, policy: nn.Module, iteration: int) -> list[Answer]:
        """Each process its own, which then all know; the samples are those that one process would draw."""
        count = self.config.rollouts
        drawn = samples_at(iteration * count, count, len(self.prompts), self.seed)
        prompts = [self.prompts[place] for place in drawn.tolist()]
        assert isinstance(policy, CustomLanguageModel)
        continuations = generate(
            policy,
            prompts,
            stop=self.stop,
            max_tokens=self.config.max_answer_tokens,
            sampling=Sampling(self.config.temperature),
            generator=torch.Generator().manual_seed((self.seed << 20) + iteration),
            dtype=self.policy.dtype,
            sharded=ShardedSampling(self.mine, self._gathered) if self.crew.size > 1 else None,
        )
        together = [one for part in self._gathered(continuations) for one in part]
        return [Answer(prompt, one.tokens) for prompt, one in zip(prompts, together, strict=True)]

    def _gathered(self, mine: T) -> list[T]:
        """What each process gave, by rank."""
        return self.crew.together(lambda: mine)

    @torch.no_grad()
    def rollout(self, iteration: int) -> Rollout:
        """Sample, score, and estimate advantages."""
        with self.policy.whole() as policy, self.critic.whole() as critic:
            answers = self._sample(policy, iteration)
            known, scores = self._known_of([answers[place] for place in self.mine], policy, critic)
        device = self.policy.device
        longest = max(len(answer.answer) for answer in answers)
        parts = [(_wide(rows, longest), part) for rows, part in self._gathered((known.cpu(), scores.cpu()))]
        old_BR, reference_BR, values_BR, entropy_BR = torch.cat([rows for rows, _ in parts], 1).to(device)
        raw_B = torch.cat([part for _, part in parts]).to(device)
        lengths_B = torch.tensor([len(answer.answer) for answer in answers], device=device)
        ended_B = torch.tensor([answer.answer[-1] == self.stop for answer in answers], device=device)
        mask_BR = (torch.arange(longest, device=device) < lengths_B[:, None]).float()

        score_B = (raw_B - self.scale.mean) / self.scale.deviation
        penalised_B = score_B - self.config.missing_end_penalty * (~ended_B).float()
        kl_BR = kl_k1(old_BR, reference_BR) * mask_BR
        rewards_BR = token_rewards(penalised_B, kl_BR, mask_BR, self.kl.beta)
        advantages_BR, returns_BR = advantages(
            rewards_BR, values_BR, mask_BR, self.config.gamma, self.config.gae_lambda
        )
        unexplained = masked_mean((returns_BR - values_BR) ** 2, mask_BR) - masked_mean(advantages_BR, mask_BR) ** 2
        spread = masked_mean(returns_BR**2, mask_BR) - masked_mean(returns_BR, mask_BR) ** 2
        figures = {
            "score": float(score_B.mean()),
            "reward": float(rewards_BR.sum(1).mean()),
            "kl": float(kl_BR.sum(1).mean()),
            "kl_beta": self.kl.beta,
            "entropy": float(masked_mean(entropy_BR, mask_BR)),
            "ended": float(ended_B.float().mean()),
            "answer_tokens": float(lengths_B.float().mean()),
            "explained_variance": float(1 - unexplained / spread.clamp(min=1e-8)),
        }
        return Rollout(
            answers, mask_BR, old_BR, values_BR * mask_BR, whiten(advantages_BR, mask_BR), returns_BR, figures
        )

    def _known_of(self, answers: Sequence[Answer], policy: nn.Module, critic: nn.Module) -> tuple[Tensor, Tensor]:
        """(log-probability under policy and reference, value and entropy of each answer token, [4, B, R]; scores [B])
        of some answers, by whole models."""
        assert isinstance(critic, ScalarModel)
        longest = max((len(answer.answer) for answer in answers), default=0)
        scores, columns = [torch.empty(0)], [torch.empty(4, 0, longest)]
        for start in range(0, len(answers), FORWARD_ROWS):
            batch = collate(answers[start : start + FORWARD_ROWS], self.pad, self.policy.device)
            with self.policy.autocast():
                logp_N, entropy_N = log_probabilities(policy, batch, self.config.temperature)
                with adapters_off(policy):
                    reference_N, _ = log_probabilities(self.reference or policy, batch, self.config.temperature)
                values_N = critic.values(batch)
                scores.append(self.reward.scores(batch))
            rows = torch.stack([batch.rows(x) for x in (logp_N, reference_N, values_N, entropy_N)])
            columns.append(_wide(rows, longest))
        device = self.policy.device
        return torch.cat([x.to(device) for x in columns], 1), torch.cat([x.to(device) for x in scores])

    def update(self, rollout: Rollout, iteration: int, rate: float) -> dict[str, float]:
        """`epochs` passes over the answers, each in a fresh order; returns the means of what was watched."""
        config, count = self.config, len(rollout.answers)
        watched: dict[str, list[float]] = {}
        for epoch in range(config.epochs):
            order = Permutation(count, self.seed, iteration * config.epochs + epoch)
            places = order(np.arange(count)).tolist()
            for start in range(0, count, config.minibatch):
                drawn = places[start : start + config.minibatch]
                minibatch = [self._minibatch(rollout, part) for part in self._parts(drawn)]
                where = f"ppo, iteration {iteration + 1}"
                weights = [part.batch.tokens for part in minibatch]
                moved = self.policy.train_step(
                    minibatch, weights, self._policy_loss, rate, config.clip_norm, where=where
                )
                learnt = self.critic.train_step(
                    minibatch,
                    weights,
                    self._value_loss,
                    rate * config.critic_speed,
                    config.clip_norm,
                    where=f"{where}, critic",
                )
                seen = {"policy_loss": moved.loss, "value_loss": learnt.loss, "gradient_norm": moved.gradient_norm}
                for name, value in (seen | moved.statistics).items():
                    watched.setdefault(name, []).append(value)
                if not watched["ratio"][1:] and watched["approximate_kl"][0] > SAME:
                    raise GroundupError(
                        f"before the first update the KL is {watched['approximate_kl'][0]:.5f} nats a token, not 0: "
                        "the log-probabilities of sampling and training differ",
                        where=where,
                        do="report this as a bug",
                    )
        return {name: sum(values) / len(values) for name, values in watched.items()}

    def _parts(self, drawn: Sequence[int]) -> list[Sequence[int]]:
        """This process's share of a minibatch, by micro-batch; as many in every process."""
        data_rank = self.policy.data_rank
        every = min(self.config.accumulate, len(drawn) // data_rank.size) * data_rank.size
        return [drawn[first::every] for first in range(data_rank.rank, every, data_rank.size)]

    def _minibatch(self, rollout: Rollout, places: Sequence[int]) -> _Minibatch:
        batch = collate([rollout.answers[place] for place in places], self.pad, self.policy.device)
        width, index = batch.mask_BR.shape[1], torch.tensor(places, device=self.policy.device)
        return _Minibatch(
            batch,
            rollout.old_BR[index, :width],
            rollout.values_BR[index, :width],
            rollout.advantages_BR[index, :width],
            rollout.returns_BR[index, :width],
        )

    def _policy_loss(self, model: nn.Module, minibatch: _Minibatch) -> tuple[Tensor, Statistics]:
        batch = minibatch.batch
        logp_N, _ = log_probabilities(model, batch, self.config.temperature)
        mask_BR = batch.mask_BR.float()
        return policy_loss(batch.rows(logp_N), minibatch.old_BR, minibatch.advantages_BR, mask_BR, self.config.clip)

    def _value_loss(self, model: nn.Module, minibatch: _Minibatch) -> tuple[Tensor, Statistics]:
        assert isinstance(model, ScalarModel)
        values_BR = minibatch.batch.rows(model.values(minibatch.batch))
        loss = value_loss(
            values_BR,
            minibatch.values_BR,
            minibatch.returns_BR,
            minibatch.batch.mask_BR.float(),
            self.config.value_clip,
        )
        return self.config.value_coefficient * loss, {}


def _wide(x_nBR: Tensor, width: int) -> Tensor:
    """Padded to R = `width`."""
    return nn.functional.pad(x_nBR, (0, width - x_nBR.shape[-1]))


def train_ppo(
    ppo: Ppo, *, learning_rate_peak: float, checkpoints: Checkpoints, metrics_path: Path, progress: Progress
) -> dict[str, float]:
    """Run all iterations, from the newest checkpoint where there is one; returns the last iteration's figures."""
    config, start, figures, seconds_before = ppo.config, 0, dict[str, float](), 0.0
    saved = checkpoints.load(lambda line: progress.say(f"    ppo: {line}"))
    if saved is not None:
        ppo.policy.load(saved.tensors.below("policy."))
        ppo.critic.load(saved.tensors.below("critic."))
        checkpoints.restore_random_state(saved)
        start, figures = saved.step, saved.values["figures"]
        ppo.kl.beta, seconds_before = saved.values["kl_beta"], saved.values["seconds"]
        progress.say(f"    ppo: resuming after iteration {start} of {config.iterations}")
    began = time.monotonic()
    with (
        Telemetry(
            config.telemetry,
            ppo.policy,
            metrics_path,
            title="ppo",
            steps=config.iterations,
            resume_at=start,
            settings=config.result_affecting(),
        ) as telemetry,
        progress.task("ppo", config.iterations, "iterations", done=start) as task,
    ):
        for iteration in range(start, config.iterations):
            rate = learning_rate(iteration, config.iterations, learning_rate_peak, config)
            with telemetry.step(iteration + 1):
                rollout = ppo.rollout(iteration)
                figures = rollout.figures | ppo.update(rollout, iteration, rate)
            ppo.kl.update(figures["kl"], len(rollout.answers))
            seconds = seconds_before + time.monotonic() - began
            row = figures | {"learning_rate": rate} | memory(ppo.policy.device)
            telemetry.write(iteration + 1, row | {"seconds": round(seconds, 3)})
            task.advance(1, note=f"score {figures['score']:.2f}  KL {figures['kl']:.2f}")
            if iteration + 1 == config.iterations or ppo.policy.any(checkpoints.due(iteration + 1)):
                parts = below("policy.", ppo.policy.snapshot()) | below("critic.", ppo.critic.snapshot())
                values = {"figures": figures, "kl_beta": ppo.kl.beta, "seconds": seconds}
                checkpoints.save(iteration + 1, parts, values)
    checkpoints.finish()
    if ppo.policy.average:
        ppo.policy.average.swap()
    return figures


def stage(config: PpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the SFT model towards what the reward model prefers; writes `model/`."""
    training = StageTraining("ppo", config, inputs, "sft", work)
    tokenizer = training.tokenizer
    policy = training.engine(training.model())
    frozen, scale = load_reward_model(inputs["reward"].path / "model", policy.device)
    critic = ScalarModel(load_reward_model(inputs["reward"].path / "model")[0].language)  # its features, a new head
    items = [item for item in read_items(inputs["sft"].file(ITEMS)) if item.aspect in MAIN_ASPECTS]
    questions = [question for item in items for question in item.questions("rl")]
    if not questions:
        questions = sorted({pair.question for pair in read_pairs(inputs["reward"].file(PAIRS), "train")})
    loop = Ppo(
        policy,
        training.engine(critic),
        None if config.lora else training.model().to(policy.device),
        frozen,
        scale,
        [ask(question, tokenizer) for question in questions],
        config,
        stop=tokenizer.end,
        pad=tokenizer.pad,
        seed=work.seed,
    )
    figures = train_ppo(
        loop,
        learning_rate_peak=training.learning_rate,
        checkpoints=training.checkpoints,
        metrics_path=training.metrics_path,
        progress=work.progress,
    )
    training.save(policy)
    training.publish(policy)
    summary = f"{config.iterations * config.rollouts:,} answers sampled, score {figures['score']:+.2f}"
    summary += f" at {figures['kl']:.2f} nats from the SFT model"
    return {
        "summary": summary,
        "iterations": config.iterations,
        "prompts": len(questions),
        "precision": policy.precision,
        **figures,
    }
