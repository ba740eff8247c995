"""The true score of a policy while it trains, on questions that no training asks.

The score of a reward model can rise while answers get worse. Only the right answers show it, and those are
looked at here: of the tune set, which settings may be chosen by and the final evaluation does not contain.
"""

from collections.abc import Sequence

import torch

from groundup.alignment.answers import Answer
from groundup.alignment.critic import language_of
from groundup.alignment.data.records import Task
from groundup.alignment.rewards.reward import Reward
from groundup.inference.continuation import continue_prompts
from groundup.parallel.engine import Engine


class Looks:
    """Answers at temperature 0, with what they are worth in truth and under the reward that is trained against."""

    def __init__(
        self,
        tasks: Sequence[Task],
        prompts: Sequence[list[int]],
        truth: Reward,
        reward: Reward,
        *,
        max_answer_tokens: int,
        stop: int,
    ) -> None:
        """
        Args:
            prompts: of each task, the ids up to where the answer begins.
            truth: who knows: 1 for a right answer, 0 for a wrong one.
        """
        self.tasks, self.prompts = list(tasks), list(prompts)
        self.truth, self.reward = truth, reward
        self.max_answer_tokens, self.stop = max_answer_tokens, stop

    @torch.no_grad()
    def measure(self, engine: Engine) -> dict[str, float]:
        """`heldout_truth`, `heldout_score` and `heldout_ended`, means over the tasks. Collective."""
        with engine.whole() as model:
            given = continue_prompts(
                language_of(model),
                self.prompts,
                stop={self.stop},
                max_tokens=self.max_answer_tokens,
                dtype=engine.dtype,
            )
        answers = [Answer(prompt, one.tokens) for prompt, one in zip(self.prompts, given, strict=True)]
        return {
            "heldout_truth": float(self.truth.score(self.tasks, answers).mean()),
            "heldout_score": float(self.reward.score(self.tasks, answers).mean()),
            "heldout_ended": sum(one.ended for one in given) / len(given),
        }
