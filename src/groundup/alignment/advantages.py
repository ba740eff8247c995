"""How much better an answer, or a token of it, was than expected: the advantage estimators, as pure functions.

Suffixes: B answers, R answer tokens. `mask_BR` is 1 at real tokens. The answers of a group (to one prompt) are
neighbours, and every group has the same size.
"""

import torch
from torch import Tensor

from groundup.alignment.losses import masked_mean


def whiten(x_BR: Tensor, mask_BR: Tensor, keep_mean: bool = False) -> Tensor:
    """Zero mean and unit variance (Bessel's n - 1) over the masked positions; 0 elsewhere."""
    mean = masked_mean(x_BR, mask_BR)
    variance = ((x_BR - mean) ** 2 * mask_BR).sum() / (mask_BR.sum() - 1).clamp(min=1)
    whitened = (x_BR - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened + mean if keep_mean else whitened) * mask_BR


def token_rewards(score_B: Tensor, kl_BR: Tensor, mask_BR: Tensor, beta: float) -> Tensor:
    """-beta KL at every token, and the answer's score at its last one (arXiv 1909.08593), [B, R]."""
    rewards_BR = -beta * kl_BR * mask_BR
    last_B1 = mask_BR.long().sum(1, keepdim=True) - 1
    return rewards_BR.scatter_add(1, last_B1, score_B[:, None].to(rewards_BR.dtype))


def generalised(
    rewards_BR: Tensor, values_BR: Tensor, mask_BR: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns they imply (arXiv 1506.02438), both [B, R], not whitened.

    The value after an answer's last token is 0. With values of 0 and gamma and lambda of 1 the advantage of a token is
    the sum of the rewards from it on (REINFORCE).
    """
    values_BR = values_BR * mask_BR
    result_BR = torch.zeros_like(rewards_BR)
    following_B = torch.zeros_like(rewards_BR[:, 0])
    for t in reversed(range(rewards_BR.shape[1])):
        next_value_B = values_BR[:, t + 1] if t + 1 < rewards_BR.shape[1] else torch.zeros_like(following_B)
        delta_B = rewards_BR[:, t] + gamma * next_value_B - values_BR[:, t]
        following_B = (delta_B + gamma * lam * following_B) * mask_BR[:, t]
        result_BR[:, t] = following_B
    return result_BR, (result_BR + values_BR) * mask_BR


def group_mean(reward_B: Tensor, group: int, std: bool = True, eps: float = 1e-6) -> Tensor:
    """The reward less its group's mean (Dr.GRPO, arXiv 2503.20783), over its standard deviation (GRPO, 2402.03300)."""
    reward_GK = reward_B.view(-1, group)
    centred_GK = reward_GK - reward_GK.mean(1, keepdim=True)
    if std:
        centred_GK = centred_GK / (reward_GK.std(1, keepdim=True) + eps)
    return centred_GK.flatten()


def leave_one_out(reward_B: Tensor, group: int) -> Tensor:
    """The reward less the mean of the others of its group (RLOO, arXiv 2402.14740)."""
    reward_GK = reward_B.view(-1, group)
    others_GK = (reward_GK.sum(1, keepdim=True) - reward_GK) / (group - 1)
    return (reward_GK - others_GK).flatten()


class KlController:
    """The KL penalty's weight: fixed, or steered towards a target (arXiv 1909.08593)."""

    def __init__(self, beta: float, target: float | None, horizon: int) -> None:
        self.beta, self.target, self.horizon = beta, target, horizon

    def update(self, kl: float, answers: int) -> None:
        """`kl`: the measured mean in nats per answer over `answers` answers."""
        if self.target is not None:
            error = min(0.2, max(-0.2, kl / self.target - 1))
            self.beta *= 1 + error * answers / self.horizon
