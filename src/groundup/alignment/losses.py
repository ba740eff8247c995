"""The losses and estimators of alignment, as pure functions of tensors.

Suffixes: B rows (answers), R answer tokens. `mask_BR` is 1 at real tokens. Log-probabilities are natural. Every
formula is tested against the golden numbers of the field's implementations.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the places where `mask` is 1."""
    return (x * mask).sum() / mask.sum()


def whiten(x_BR: Tensor, mask_BR: Tensor, keep_mean: bool = False) -> Tensor:
    """Zero mean and unit variance (Bessel's n - 1) over the masked places; 0 elsewhere."""
    mean = masked_mean(x_BR, mask_BR)
    variance = ((x_BR - mean) ** 2 * mask_BR).sum() / (mask_BR.sum() - 1).clamp(min=1)
    whitened = (x_BR - mean) * torch.rsqrt(variance + 1e-8)
    return (whitened + mean if keep_mean else whitened) * mask_BR


def kl_k1(logp: Tensor, reference: Tensor) -> Tensor:
    """Log pi - log ref: unbiased; its place is the reward (in a loss its expected gradient is zero)."""
    return logp - reference


def kl_k2(logp: Tensor, reference: Tensor) -> Tensor:
    """(log pi - log ref)^2 / 2: the right gradient when used as an on-policy loss."""
    return (logp - reference) ** 2 / 2


def kl_k3(logp: Tensor, reference: Tensor) -> Tensor:
    """exp(-x) - 1 + x with x = log pi - log ref: never negative, low variance; for watching, not for the loss."""
    ratio = logp - reference
    return torch.expm1(-ratio) + ratio


def token_rewards(score_B: Tensor, kl_BR: Tensor, mask_BR: Tensor, beta: float) -> Tensor:
    """-beta KL at every token, and the answer's score at its last one (arXiv 1909.08593), [B, R]."""
    rewards_BR = -beta * kl_BR * mask_BR
    last_B1 = mask_BR.long().sum(1, keepdim=True) - 1
    return rewards_BR.scatter_add(1, last_B1, score_B[:, None].to(rewards_BR.dtype))


def advantages(
    rewards_BR: Tensor, values_BR: Tensor, mask_BR: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns they imply (arXiv 1506.02438), both [B, R], not whitened.

    The value behind an answer's last token is 0.
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


def policy_loss(
    logp_BR: Tensor, old_BR: Tensor, advantages_BR: Tensor, mask_BR: Tensor, clip: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped loss (arXiv 1707.06347), **summed** over tokens, with sums of what is worth watching."""
    ratio_BR = torch.exp(logp_BR - old_BR)
    plain_BR = -advantages_BR * ratio_BR
    clipped_BR = -advantages_BR * ratio_BR.clamp(1 - clip, 1 + clip)
    loss_BR = torch.maximum(plain_BR, clipped_BR) * mask_BR
    watch = {
        "clip_fraction": ((clipped_BR > plain_BR) * mask_BR).sum(),
        "approximate_kl": (kl_k2(logp_BR, old_BR) * mask_BR).sum(),
        "ratio": (ratio_BR * mask_BR).sum(),
    }
    return loss_BR.sum(), {name: value.detach() for name, value in watch.items()}


def value_loss(values_BR: Tensor, old_BR: Tensor, returns_BR: Tensor, mask_BR: Tensor, clip: float) -> Tensor:
    """Half the squared error, the worse of the plain and the clipped value, **summed** over tokens."""
    clipped_BR = old_BR + (values_BR - old_BR).clamp(-clip, clip)
    worse_BR = torch.maximum((values_BR - returns_BR) ** 2, (clipped_BR - returns_BR) ** 2)
    return 0.5 * (worse_BR * mask_BR).sum()


def bradley_terry(chosen_B: Tensor, rejected_B: Tensor, margin: float = 0.0) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected - margin), per pair (arXiv 2203.02155)."""
    return -F.logsigmoid(chosen_B - rejected_B - margin)


def dpo(
    chosen_B: Tensor,
    rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Direct preference optimisation on summed log-probabilities, per pair (arXiv 2305.18290).

    `label_smoothing` is the share of labels taken to be wrong (conservative DPO).
    """
    delta_B = beta * ((chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B))
    return -F.logsigmoid(delta_B) * (1 - label_smoothing) - F.logsigmoid(-delta_B) * label_smoothing


class KlController:
    """The KL penalty's weight: fixed, or steered towards a target (arXiv 1909.08593)."""

    def __init__(self, beta: float, target: float | None, horizon: int) -> None:
        self.beta, self.target, self.horizon = beta, target, horizon

    def update(self, kl: float, answers: int) -> None:
        """`kl`: the measured mean in nats per answer over `answers` answers."""
        if self.target is not None:
            error = min(0.2, max(-0.2, kl / self.target - 1))
            self.beta *= 1 + error * answers / self.horizon
