"""What a policy's answers are worth: under the reward model, in truth, against the SFT model's, and at which KL."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from groundup.alignment.answers import Answer, collate, token_distributions
from groundup.alignment.data.examples import prompt_ids
from groundup.alignment.data.records import Task
from groundup.alignment.rewards.reward import Reward, answer_text
from groundup.evaluation.answering import Question
from groundup.evaluation.checker import token_f1
from groundup.evaluation.win_rate import WinRate, win_rate
from groundup.inference.continuation import continue_prompts
from groundup.inference.sampling import Sampling
from groundup.model.decoder import CustomLanguageModel
from groundup.tokenizer.tokenizer import Tokenizer

ROWS = 64  # per forward pass


@dataclass(frozen=True)
class SampledAnswers:
    """A sampled answer to each question."""

    answers: list[Answer]
    texts: list[str]
    proxy: list[float]
    """What the reward model gives them."""
    truth: list[float]
    """Token F1 against the true answer."""


class Measuring:
    """Samples answers to questions that no method trains on, and scores them."""

    def __init__(
        self,
        reference: CustomLanguageModel,
        tokenizer: Tokenizer,
        reward: Reward,
        questions: Sequence[Question],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> None:
        """
        Args:
            reference: the SFT model, from which the KL is measured.
            temperature: divides the logits, in sampling and in the KL.
        """
        self.reference, self.tokenizer, self.reward = reference.eval(), tokenizer, reward
        self.questions, self.temperature, self.max_tokens, self.seed = list(questions), temperature, max_tokens, seed
        self.tasks = [Task(question.prompt, question.truth) for question in questions]
        self.prompts = [prompt_ids(question.prompt, tokenizer) for question in questions]
        self.start = self.sampled(reference)

    @torch.no_grad()
    def sampled(self, model: CustomLanguageModel, number: int = 0) -> SampledAnswers:
        """One answer to each question; other numbers give other answers."""
        found = continue_prompts(
            model,
            self.prompts,
            stop={self.tokenizer.end},
            max_tokens=self.max_tokens,
            sampling=Sampling(self.temperature),
            seeds=[(self.seed << 40) + (number << 24) + row for row in range(len(self.prompts))],
        )
        answers = [Answer(prompt, one.tokens) for prompt, one in zip(self.prompts, found, strict=True)]
        texts = [answer_text(answer, self.tokenizer) for answer in answers]
        truth = [token_f1(text, question.truth) for text, question in zip(texts, self.questions, strict=True)]
        return SampledAnswers(answers, texts, self.reward.score(self.tasks, answers).tolist(), truth)

    def policy(self, model: CustomLanguageModel) -> dict[str, Any]:
        """`kl` (nats per answer), `proxy`, `truth`, `tokens`, `ended`, `better` and `lengths` of a policy."""
        found = self.sampled(model)
        return {"kl": self.kl(model, found.answers)} | self.scores(found)

    def best_of(self, counts: Sequence[int], seed: int) -> list[dict[str, Any]]:
        """The same of the SFT model with the best of so many answers under the reward model, for each of `counts`. The
        KL of the best of n is at most log n - (n - 1) / n (arXiv 2204.05862, 2401.01879)."""
        most = max(counts)
        drawn = [self.sampled(self.reference, 1 + seed * most + number) for number in range(most)]
        found = []
        for count in counts:
            best = [max(range(count), key=lambda n: drawn[n].proxy[row]) for row in range(len(self.questions))]
            chosen = SampledAnswers(*([getattr(drawn[n], name)[row] for row, n in enumerate(best)] for name in FIELDS))
            found.append({"kl": math.log(count) - (count - 1) / count} | self.scores(chosen))
        return found

    def scores(self, found: SampledAnswers) -> dict[str, Any]:
        """Means over the questions; for each whether the answer is better in truth than the SFT model's (1, or .5
        where they are equal), and the lengths of the two in characters."""
        count = len(self.questions)
        better = [
            0.5 if mine == theirs else float(mine > theirs)
            for mine, theirs in zip(found.truth, self.start.truth, strict=True)
        ]
        return {
            "proxy": sum(found.proxy) / count,
            "truth": sum(found.truth) / count,
            "tokens": sum(len(answer.answer) for answer in found.answers) / count,
            "ended": sum(answer.answer[-1] == self.tokenizer.end for answer in found.answers) / count,
            "better": better,
            "lengths": [[len(mine), len(theirs)] for mine, theirs in zip(found.texts, self.start.texts, strict=True)],
        }

    def wins(self, of: Sequence[Mapping[str, Any]]) -> WinRate:
        """The win rate in truth over the SFT model's answers, of the `scores` of several trainings together."""
        return win_rate(
            [better for one in of for better in one["better"]],
            [(mine, theirs) for one in of for mine, theirs in one["lengths"]],
            [question.group for question in self.questions] * len(of),
            self.seed,
            [number for number, one in enumerate(of) for _ in one["better"]],
        )

    @torch.no_grad()
    def kl(self, model: CustomLanguageModel, answers: Sequence[Answer]) -> float:
        """KL of the policy from the SFT model in nats per answer, from answers that the policy sampled.

        Before each of their tokens the KL of the two distributions is summed exactly, so that chance enters by the
        beginnings alone and no estimate is negative (arXiv 2504.10637).
        """
        total = 0.0
        device = next(model.parameters()).device
        for start in range(0, len(answers), ROWS):
            batch = collate(answers[start : start + ROWS], self.tokenizer.pad, device)
            new_NV = token_distributions(model, batch, self.temperature)
            old_NV = token_distributions(self.reference, batch, self.temperature)
            total += float(F.kl_div(old_NV, new_NV, reduction="sum", log_target=True))
        return total / len(answers)


FIELDS = ("answers", "texts", "proxy", "truth")  # of `SampledAnswers`
