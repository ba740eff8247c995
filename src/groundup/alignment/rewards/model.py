"""A trained reward model as a reward."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.alignment.answers import Answer, collate
from groundup.alignment.data.records import Task
from groundup.alignment.reward import RewardModel, Scale
from groundup.parallel.engine import ModelOnDevice

ROWS = 64  # per forward pass


class ModelReward:
    """Scores on the scale of the reward model's training pairs: right answers have mean 0."""

    def __init__(self, model: ModelOnDevice, scale: Scale, pad: int) -> None:
        model.model.requires_grad_(False)
        self.model, self.scale, self.pad = model, scale, pad

    @torch.no_grad()
    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Tensor:
        reward = self.model.model
        assert isinstance(reward, RewardModel)
        scores_B = torch.empty(len(answers), device=self.model.device)
        by_length = sorted(range(len(answers)), key=lambda index: len(answers[index]))  # so that little is padded
        for start in range(0, len(answers), ROWS):
            some = by_length[start : start + ROWS]
            batch = collate([answers[index] for index in some], self.pad, self.model.device)
            with self.model.autocast():
                scores_B[some] = reward.scores(batch)
        return (scores_B - self.scale.mean) / self.scale.deviation
