"""The losses of alignment, as pure functions of tensors; no trainer is in this file.

Suffixes: B rows (answers or pairs), R answer tokens. `mask_BR` is 1 at real tokens, 0 at padding. Log-probabilities are
natural. Each function takes `reduction`: `"none"` gives the losses one by one, `"sum"` and `"mean"` what they say; a
token loss has its mean over real tokens. Every formula is tested against the golden numbers of the field's
implementations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["none", "sum", "mean"]
Ratio = Literal["token", "sequence", "answer"]
RankingLoss = Literal["bradley_terry", "plackett_luce"]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the positions where `mask` is 1.

    >>> from torch import tensor
    >>> masked_mean(tensor([1.0, 2.0, 9.0]), tensor([1.0, 1.0, 0.0]))
    tensor(1.5000)
    """
    return (x * mask).sum() / mask.sum()


def kl_k1(logp: Tensor, reference: Tensor) -> Tensor:
    """Log pi - log ref: unbiased; belongs into the reward (in a loss its expected gradient is zero)."""
    return logp - reference


def kl_k2(logp: Tensor, reference: Tensor) -> Tensor:
    """(log pi - log ref)^2 / 2: as an on-policy loss it has the right gradient, taken over whole answers."""
    return (logp - reference) ** 2 / 2


def kl_k3(logp: Tensor, reference: Tensor) -> Tensor:
    """exp(-x) - 1 + x with x = log pi - log ref: never negative, low variance; its gradient in a loss is biased."""
    ratio = logp - reference
    return torch.expm1(-ratio) + ratio


KL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def policy_loss(
    logp_BR: Tensor,
    old_BR: Tensor,
    advantages_BR: Tensor,
    mask_BR: Tensor,
    clip: float = 0.2,
    clip_high: float | None = None,
    ratio: Ratio = "token",
    reduction: Reduction = "mean",
) -> Tensor:
    """PPO's clipped loss (arXiv 1707.06347): max(-A r, -A clip(r, 1 - clip, 1 + clip_high)).

    Args:
        logp_BR: under the policy that is trained; the others are constants.
        old_BR: under the policy that sampled.
        clip_high: the upper bound where it differs (DAPO, arXiv 2503.14476); None: as `clip`.
        ratio: r of a token, or of its answer as in `policy_ratio`.

    >>> from torch import tensor, zeros, ones
    >>> policy_loss(zeros(1, 2), zeros(1, 2), tensor([[1.0, 3.0]]), ones(1, 2))  # ratio 1: minus the mean advantage
    tensor(-2.)
    """
    ratio_BR = policy_ratio(logp_BR, old_BR, mask_BR, ratio)
    clipped_BR = ratio_BR.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return _reduced_tokens(torch.maximum(-advantages_BR * ratio_BR, -advantages_BR * clipped_BR), mask_BR, reduction)


def policy_ratio(logp_BR: Tensor, old_BR: Tensor, mask_BR: Tensor, ratio: Ratio = "token") -> Tensor:
    """Pi / pi_old of each token [B, R], or of each answer [B, 1].

    Args:
        ratio: `answer`: of the whole answer (RLOO, arXiv 2402.14740); `sequence`: their
            geometric mean (GSPO, arXiv 2507.18071).
    """
    difference_BR = logp_BR - old_BR
    if ratio == "token":
        return torch.exp(difference_BR)
    difference_B1 = (difference_BR * mask_BR).sum(1, keepdim=True)
    if ratio == "sequence":
        difference_B1 = difference_B1 / mask_BR.sum(1, keepdim=True).clamp(min=1)
    return torch.exp(difference_B1)


def value_loss(
    values_BR: Tensor,
    old_BR: Tensor,
    returns_BR: Tensor,
    mask_BR: Tensor,
    clip: float = 0.2,
    reduction: Reduction = "mean",
) -> Tensor:
    """Half the squared error of a critic, the worse of the plain and the clipped value (arXiv 1707.06347).

    >>> from torch import tensor, ones
    >>> value_loss(tensor([[1.0]]), tensor([[1.0]]), tensor([[3.0]]), ones(1, 1))
    tensor(2.)
    """
    clipped_BR = old_BR + (values_BR - old_BR).clamp(-clip, clip)
    worse_BR = torch.maximum((values_BR - returns_BR) ** 2, (clipped_BR - returns_BR) ** 2)
    return _reduced_tokens(0.5 * worse_BR, mask_BR, reduction)


def bradley_terry(
    chosen_B: Tensor, rejected_B: Tensor, margin: float | Tensor = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected - margin) of a reward model's scores (arXiv 2203.02155, 2307.09288).

    >>> from torch import zeros
    >>> bradley_terry(zeros(2), zeros(2))  # ln 2
    tensor(0.6931)
    """
    return _reduced(-F.logsigmoid(chosen_B - rejected_B - margin), reduction)


def plackett_luce(scores_BK: Tensor, reduction: Reduction = "mean") -> Tensor:
    """-log of the probability of a ranking, best first, under the scores of its K answers (Plackett-Luce).

    >>> from torch import zeros
    >>> plackett_luce(zeros(1, 3))  # ln 3!
    tensor(1.7918)
    """
    rest_BK = torch.logcumsumexp(scores_BK.flip(1), 1).flip(1)  # of the answers from each one on
    return _reduced((rest_BK - scores_BK).sum(1), reduction)


def ranking_loss(
    scores_A: Tensor, better_E: Tensor, worse_E: Tensor, ranking_E: Tensor, rankings: int, loss: RankingLoss
) -> Tensor:
    """A loss for each ranking, [rankings]: the mean over its pairs, or over its choices, so that each counts as one.

    Args:
        scores_A: of all answers of all rankings.
        better_E: int64, for each pair the index of the better answer; `worse_E` of the worse one. Equal answers are no
            pair.
        ranking_E: int64, which ranking a pair is of.
        loss: `bradley_terry`: each pair by itself (arXiv 2203.02155). `plackett_luce`: each answer as the choice among
            itself and all that are worse; without equal answers their sum is `plackett_luce`. Of two answers both are
            the same.

    >>> from torch import tensor
    >>> order = tensor([0, 0, 1]), tensor([1, 2, 2]), tensor([0, 0, 0])
    >>> ranking_loss(tensor([0.0, 0.0, 0.0]), *order, 1, "plackett_luce")  # ln 3! over two choices
    tensor([0.8959])
    """
    if loss == "bradley_terry":
        return means_by(bradley_terry(scores_A[better_E], scores_A[worse_E], reduction="none"), ranking_E, rankings)
    choice_C, of_E = torch.unique(better_E, return_inverse=True)
    among_CA = torch.zeros(len(choice_C), len(scores_A), dtype=torch.bool, device=scores_A.device)
    among_CA[of_E, worse_E] = True
    among_CA[torch.arange(len(choice_C), device=scores_A.device), choice_C] = True
    nats_C = scores_A.expand_as(among_CA).masked_fill(~among_CA, -torch.inf).logsumexp(1) - scores_A[choice_C]
    ranking_C = torch.zeros_like(choice_C).scatter(0, of_E, ranking_E)
    return means_by(nats_C, ranking_C, rankings)


def means_by(x_E: Tensor, group_E: Tensor, groups: int) -> Tensor:
    """The mean of each group, [groups]; 0 of an empty one."""
    sums_G = x_E.new_zeros(groups).index_add(0, group_E, x_E)
    return sums_G / torch.bincount(group_E, minlength=groups).clamp(min=1)


@dataclass(frozen=True)
class PairLogProbabilities:
    """Summed log-probabilities of pairs' answers under the policy and the reference, and their lengths, each [B]."""

    chosen_B: Tensor
    rejected_B: Tensor
    reference_chosen_B: Tensor
    reference_rejected_B: Tensor
    chosen_tokens_B: Tensor
    rejected_tokens_B: Tensor

    @property
    def chosen_gain(self) -> Tensor:
        return self.chosen_B - self.reference_chosen_B

    @property
    def rejected_gain(self) -> Tensor:
        return self.rejected_B - self.reference_rejected_B

    @property
    def margin(self) -> Tensor:
        """By how much more the chosen answer has gained than the rejected one."""
        return self.chosen_gain - self.rejected_gain

    @property
    def margin_per_token(self) -> Tensor:
        return self.chosen_gain / self.chosen_tokens_B - self.rejected_gain / self.rejected_tokens_B

    @property
    def chosen_per_token(self) -> Tensor:
        return self.chosen_B / self.chosen_tokens_B

    @property
    def rejected_per_token(self) -> Tensor:
        return self.rejected_B / self.rejected_tokens_B


PreferenceLoss = Callable[[PairLogProbabilities, float, float], Tensor]  # (pairs, beta, label smoothing) -> [B]


def _smoothed(logits_B: Tensor, label_smoothing: float) -> Tensor:
    return -F.logsigmoid(logits_B) * (1 - label_smoothing) - F.logsigmoid(-logits_B) * label_smoothing


def _sigmoid(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """DPO (arXiv 2305.18290); with label smoothing conservative DPO."""
    return _smoothed(beta * x.margin, label_smoothing)


def _length_normalised(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """DPO on log-probabilities per token (Tulu 3, arXiv 2411.15124)."""
    return _smoothed(beta * x.margin_per_token, label_smoothing)


def _robust(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """Unbiased where that fraction of the labels is wrong (arXiv 2403.00409)."""
    right_B, wrong_B = -F.logsigmoid(beta * x.margin), -F.logsigmoid(-beta * x.margin)
    return (right_B * (1 - label_smoothing) - wrong_B * label_smoothing) / (1 - 2 * label_smoothing)


def _ipo(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """A squared distance to the margin 1 / (2 beta) (arXiv 2310.12036)."""
    return (x.margin - 1 / (2 * beta)) ** 2


def _ipo_per_token(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """IPO on log-probabilities per token, as its authors and TRL compute it."""
    return (x.margin_per_token - 1 / (2 * beta)) ** 2


def _hinge(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """SLiC's margin loss (arXiv 2305.10425)."""
    return torch.relu(1 - beta * x.margin)


def _simpo(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """Without a reference (arXiv 2405.14734): per token, with a target margin of half of `beta`."""
    return _smoothed(beta * (x.chosen_per_token - x.rejected_per_token) - 0.5 * beta, label_smoothing)


def _orpo(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """Without a reference (arXiv 2403.07691): the chosen answer's nats per token, and the log odds ratio."""
    chosen_B, rejected_B = x.chosen_per_token, x.rejected_per_token
    odds_B = chosen_B - rejected_B - (_log_complement(chosen_B) - _log_complement(rejected_B))
    return -chosen_B + beta * _smoothed(odds_B, label_smoothing)


def _imitate(x: PairLogProbabilities, beta: float, label_smoothing: float) -> Tensor:
    """The chosen answer's nats per token: fine-tuning on the better answers."""
    return -x.chosen_per_token


def _log_complement(logp_B: Tensor) -> Tensor:
    """log(1 - p), finite also where p is 1."""
    return torch.log1p(-torch.exp(logp_B.clamp(max=-1e-6)))


PREFERENCE_LOSSES: dict[str, PreferenceLoss] = {
    "sigmoid": _sigmoid,
    "sigmoid_per_token": _length_normalised,
    "robust": _robust,
    "ipo": _ipo,
    "ipo_per_token": _ipo_per_token,
    "hinge": _hinge,
    "simpo": _simpo,
    "orpo": _orpo,
    "imitate": _imitate,
}
WITHOUT_REFERENCE = frozenset({"simpo", "orpo", "imitate"})


def preference_loss(
    pairs: PairLogProbabilities,
    loss: str = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    nll: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """A loss of the DPO family, by its name in `PREFERENCE_LOSSES`.

    Args:
        label_smoothing: the fraction of labels taken to be wrong, below 1/2.
        nll: weight of the chosen answer's nats per token, which keeps it likely (arXiv 2404.19733).

    >>> from torch import ones, zeros
    >>> start = PairLogProbabilities(*[zeros(1)] * 4, *[ones(1)] * 2)
    >>> preference_loss(start)  # policy and reference agree: ln 2
    tensor(0.6931)
    """
    loss_B = PREFERENCE_LOSSES[loss](pairs, beta, label_smoothing)
    if nll:
        loss_B = loss_B - nll * pairs.chosen_per_token
    return _reduced(loss_B, reduction)


def kto(
    gain_B: Tensor, desirable_B: Tensor, baseline: Tensor | float, beta: float = 0.1, reduction: Reduction = "mean"
) -> Tensor:
    """Kahneman-Tversky optimisation of single answers that are labelled good or bad (arXiv 2402.01306).

    Args:
        gain_B: summed log-probability under the policy less that under the reference.
        desirable_B: bool.
        baseline: the KL of the policy from the reference, at least 0; a constant for the gradient.

    >>> from torch import tensor
    >>> kto(tensor([0.0, 0.0]), tensor([True, False]), 0.0)
    tensor(0.5000)
    """
    sign_B = torch.where(desirable_B, 1.0, -1.0).to(gain_B.dtype)
    return _reduced(1 - torch.sigmoid(beta * sign_B * (gain_B - baseline)), reduction)


def _reduced(loss: Tensor, reduction: Reduction) -> Tensor:
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


def _reduced_tokens(loss_BR: Tensor, mask_BR: Tensor, reduction: Reduction) -> Tensor:
    loss_BR = loss_BR * mask_BR
    return loss_BR if reduction == "none" else loss_BR.sum() / (mask_BR.sum() if reduction == "mean" else 1)
