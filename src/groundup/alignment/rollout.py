"""Sampling answers to tasks, scoring them, and what the models involved give each of their tokens.

Several processes share the work: each samples and scores some of the answers with whole models, then all know all of
them. The samples are those that one process would draw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, answer_log_probabilities, collate, log_probabilities
from groundup.alignment.configuration import PolicyConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy, language_of
from groundup.alignment.data.records import Task
from groundup.alignment.rewards.reward import Reward
from groundup.inference.continuation import continue_prompts
from groundup.inference.sampling import Sampling
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import adapters_off
from groundup.parallel.checkpointing.crew import Crew
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Engine
from groundup.shards.order import samples_at

T = TypeVar("T")

FORWARD_TOKENS = 4096  # per forward pass where nothing is learnt
WATCHED = 8  # one answer in so many is read by the reference where its KL changes nothing


@dataclass(frozen=True)
class Rollout:
    """The answers of one iteration; those of a group (to the same prompt) are neighbours.

    Suffixes: B answers, R answer tokens. Values of R are 0 after an answer's end.
    """

    tasks: list[Task]
    answers: list[Answer]
    scores_B: Tensor
    ended_B: Tensor  # bool: the stop token came
    mask_BR: Tensor
    sampled_BR: Tensor  # log-probabilities with which the inference engine drew the tokens
    old_BR: Tensor  # the same under the policy as the trainer computes it
    reference_BR: Tensor  # NaN in answers that the reference has not read
    values_BR: Tensor  # of the critic; 0 without one
    entropy_BR: Tensor
    context: int  # tokens that the policy sees at once

    def __len__(self) -> int:
        return len(self.answers)

    def mixed_groups(self, group: int) -> Tensor:
        """Bool [groups]: whether the scores in a group differ, so that it has something to teach."""
        return self.scores_B.view(-1, group).amax(1) > self.scores_B.view(-1, group).amin(1)


class Sampler:
    """Makes rollouts; each is a function of the iteration and the policy's weights."""

    def __init__(
        self,
        tasks: Sequence[Task],
        prompts: Sequence[list[int]],
        reward: Reward,
        reference: CustomLanguageModel | None,
        config: PolicyConfig,
        *,
        stop: int,
        pad: int,
        seed: int,
    ) -> None:
        """
        Args:
            prompts: of each task, the ids up to where the answer begins.
            reference: None: the policy with its adapters switched off.
            stop: the token that ends an answer.
        """
        self.tasks, self.prompts, self.reward, self.reference = list(tasks), list(prompts), reward, reference
        self.config, self.stop, self.pad, self.seed = config, stop, pad, seed
        self.crew = Crew()
        if reference is not None:
            reference.requires_grad_(False)

    @torch.no_grad()
    def rollout(self, iteration: int, policy: Engine, critic: Engine | None) -> Rollout:
        """The answers of an iteration. Groups whose scores do not differ are replaced as often as `refill` allows."""
        config = self.config
        made = self._round(iteration, 0, policy, critic)
        for number in range(1, config.refill + 1):
            mixed = made.mixed_groups(config.group)
            if mixed.all():
                break
            made = _best_groups(made, self._round(iteration, number, policy, critic), config.group)
        return made

    def _round(self, iteration: int, number: int, policy: Engine, critic: Engine | None) -> Rollout:
        indices = self._drawn(iteration * (self.config.refill + 1) + number)
        with policy.whole() as whole:
            model = language_of(whole)
            context = model.config.max_position_embeddings
            answers, chances = self.sample(model, indices, policy, (self.seed << 20) + iteration + (number << 54))
            mine = [answers[i] for i in self._mine], [chances[i] for i in self._mine]
            if critic is None:
                known, scores = self._known_of(*mine, indices, whole, None, policy)
            else:
                with critic.whole() as values:
                    known, scores = self._known_of(*mine, indices, whole, values, policy)
        device = policy.device
        longest = max(len(answer.answer) for answer in answers)
        parts = [(_wide(rows, longest), part) for rows, part in self._gathered((known, scores))]
        old_BR, reference_BR, values_BR, entropy_BR = torch.cat([rows for rows, _ in parts], 1).to(device)
        lengths_B = torch.tensor([len(answer.answer) for answer in answers], device=device)
        return Rollout(
            [self.tasks[index] for index in indices],
            answers,
            torch.cat([part for _, part in parts]).to(device),
            torch.tensor([answer.answer[-1] == self.stop for answer in answers], device=device),
            (torch.arange(longest, device=device) < lengths_B[:, None]).float(),
            torch.tensor([row + [0.0] * (longest - len(row)) for row in chances], device=device),
            old_BR,
            reference_BR,
            values_BR,
            entropy_BR,
            context,
        )

    def _drawn(self, number: int) -> list[int]:
        """The tasks of a round, each as often as a group has answers."""
        groups = self.config.rollouts // self.config.group
        drawn = samples_at(number * groups, groups, len(self.prompts), self.seed)
        return [index for index in drawn.tolist() for _ in range(self.config.group)]

    @cached_property
    def _mine(self) -> range:
        """The answers that this process samples."""
        return DataRank(self.crew.rank, self.crew.size).of(self.config.rollouts)

    def sample(
        self, policy: CustomLanguageModel, indices: Sequence[int], engine: Engine, seed: int
    ) -> tuple[list[Answer], list[list[float]]]:
        """An answer to each of the tasks, and the log-probabilities of its tokens when they were drawn.

        From the full distribution: top-k or top-p would bias ratios.
        """
        prompts = [self.prompts[index] for index in indices]
        continuations = continue_prompts(
            policy,
            [prompts[row] for row in self._mine],
            stop={self.stop},
            max_tokens=self.config.max_answer_tokens,
            sampling=Sampling(self.config.temperature),
            seeds=[(seed << 20) + row for row in self._mine],
            dtype=engine.dtype,
        )
        together = [one for part in self._gathered(continuations) for one in part]
        answers = [Answer(prompt, one.tokens) for prompt, one in zip(prompts, together, strict=True)]
        return answers, [one.chances for one in together]

    def _gathered(self, mine: T) -> list[T]:
        """What each process gave, by rank."""
        return self.crew.together(lambda: mine)

    def _known_of(
        self,
        answers: Sequence[Answer],
        chances: Sequence[Sequence[float]],
        indices: Sequence[int],
        policy: nn.Module,
        critic: nn.Module | None,
        on: Engine,
    ) -> tuple[Tensor, Tensor]:
        """(log-probability under policy and reference, value and entropy of each answer token, [4, B, R]; scores [B])
        of this process's answers, by whole models.

        Without a penalty on it the KL is only watched: the reference then reads a part of the answers, and the others
        have NaN. Where there is one update, the policy's log-probabilities are those that it drew with.
        """
        temperature = self.config.temperature

        def known(batch: AnswerBatch) -> tuple[Tensor, ...]:
            if isinstance(policy, ValuedPolicy):
                return policy.known(batch, temperature)
            values_N = torch.zeros(batch.tokens, device=on.device)
            if critic is not None:
                assert isinstance(critic, ScalarModel)
                values_N = critic.values(batch)
            if self.config.one_update:
                return torch.zeros_like(values_N), torch.zeros_like(values_N), values_N
            return *log_probabilities(policy, batch, temperature), values_N

        def referred(batch: AnswerBatch) -> tuple[Tensor, ...]:
            with adapters_off(policy):
                return (answer_log_probabilities(self.reference or language_of(policy), batch, temperature),)

        longest = max((len(answer.answer) for answer in answers), default=0)
        if self.config.one_update and critic is None:
            logp_BR = entropy_BR = values_BR = torch.zeros(len(answers), longest)
        else:
            logp_BR, entropy_BR, values_BR = self._computed(known, 3, answers, longest, on)
        if self.config.one_update:
            logp_BR = torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in chances]).view(-1, longest)
        every = 1 if self.config.kl or self.config.kl_target is not None else WATCHED
        reference_BR = torch.full((len(answers), longest), torch.nan)
        reference_BR[::every] = self._computed(referred, 1, answers[::every], longest, on)[0]
        tasks = [self.tasks[indices[index]] for index in self._mine]
        scores_B = self.reward.score(tasks, answers) if answers else torch.empty(0)
        return torch.stack((logp_BR, reference_BR, values_BR, entropy_BR)), scores_B.cpu()

    def _computed(
        self,
        function: Callable[[AnswerBatch], tuple[Tensor, ...]],
        count: int,
        answers: Sequence[Answer],
        longest: int,
        on: Engine,
    ) -> Tensor:
        """The `count` values that a function gives each answer token, [count, B, R] on the CPU."""
        columns = [torch.empty(count, 0, longest)]
        by_length = sorted(range(len(answers)), key=lambda index: len(answers[index]))  # so that little is padded
        at_once = max(1, FORWARD_TOKENS // max(map(len, answers), default=1))
        for start in range(0, len(answers), at_once):
            batch = collate([answers[index] for index in by_length[start : start + at_once]], self.pad, on.device)
            with on.autocast():
                found = function(batch)
            columns.append(_wide(torch.stack([batch.rows(x) for x in found]), longest).cpu())
        return torch.cat(columns, 1)[:, torch.tensor(by_length, dtype=torch.long).argsort()]


def _best_groups(made: Rollout, more: Rollout, group: int) -> Rollout:
    """As many groups as `made` has: those of both whose scores differ, and where these are too few, others."""
    mixed = torch.cat([made.mixed_groups(group), more.mixed_groups(group)])
    kept_G = mixed.long().argsort(descending=True, stable=True)[: len(made) // group].sort().values
    kept = (kept_G[:, None] * group + torch.arange(group, device=kept_G.device)).flatten()
    answers, tasks = made.answers + more.answers, made.tasks + more.tasks
    longest = max(made.mask_BR.shape[1], more.mask_BR.shape[1])

    def both(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([_wide(x, longest), _wide(y, longest)] if x.dim() > 1 else [x, y])[kept]

    indices = kept.tolist()
    return Rollout(
        [tasks[index] for index in indices],
        [answers[index] for index in indices],
        both(made.scores_B, more.scores_B),
        both(made.ended_B, more.ended_B),
        both(made.mask_BR, more.mask_BR),
        both(made.sampled_BR, more.sampled_BR),
        both(made.old_BR, more.old_BR),
        both(made.reference_BR, more.reference_BR),
        both(made.values_BR, more.values_BR),
        both(made.entropy_BR, more.entropy_BR),
        made.context,
    )


def _wide(x: Tensor, width: int) -> Tensor:
    """Padded to R = `width`."""
    return nn.functional.pad(x, (0, width - x.shape[-1]))
