"""Is the reward model worth asking? On pairs of the policy's own answers, next to what costs nothing.

Pairs whose wrong answers were made up flatter every judge: the SFT model's own log-probability ranks them nearly as
well. What a policy needs is a judge of its own answers. So the SFT model answers each question a few times, a right and
a wrong answer of the same question (by the checker) make a pair, and the reward model has to rank it better than the
SFT model's log-probability, summed or per token, and better than "the longer one".
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from groundup.alignment.answers import answer_log_probabilities
from groundup.alignment.pair_objective import EncodedPair, collate_pairs
from groundup.parallel.engine import ModelOnDevice

FREE = ("log_probability", "mean_log_probability", "longer")  # baselines that need no training
ENOUGH = 50  # pairs, below which nothing is concluded
CALIBRATION_BINS = 10
ROWS = 64


@torch.no_grad()
def free_scores(on_device: ModelOnDevice, pairs: Sequence[EncodedPair], pad: int) -> dict[str, Tensor]:
    """For each name in `FREE`, scores of the chosen and the rejected answers, float32 [2, pairs]."""
    sums, lengths = [], []
    for start in range(0, len(pairs), ROWS):
        batch = collate_pairs(pairs[start : start + ROWS], pad).to(on_device.device)
        with on_device.autocast():
            logp_BR = batch.rows(answer_log_probabilities(on_device.model, batch))
        sums.append(logp_BR.sum(1).view(2, -1).cpu())
        lengths.append(batch.mask_BR.sum(1).float().view(2, -1).cpu())
    summed, tokens = torch.cat(sums, 1), torch.cat(lengths, 1)
    return dict(zip(FREE, (summed, summed / tokens, tokens), strict=True))


def judged(scores: Tensor, free: dict[str, Tensor], categories: Sequence[str] | None = None) -> dict[str, Any]:
    """Accuracy with its 95 % interval of the reward model and of each baseline, and what else says how far to trust it.

    Args:
        scores: raw scores of the reward model, chosen and rejected, [2, pairs].
        free: as `free_scores` gives them.
        categories: of the pairs; the reward model's accuracy is given for each.

    Returns:
        `pairs`, `reward`, `free` (by name), `by_category`, `better` (than every baseline; None where there are fewer
        than `ENOUGH` pairs), `calibration_error` (mean distance of the stated probability from the observed one) and
        `length_correlation` (of a pair's difference in score with that in tokens).
    """
    count = scores.shape[1]
    reward = accuracy(scores)
    others = {name: accuracy(values) for name, values in free.items()}
    groups = sorted(set(categories or ()))
    by_category = {
        group: accuracy(scores[:, [index for index, its in enumerate(categories or ()) if its == group]])
        for group in groups
    }
    best = max(one["accuracy"] for one in others.values())
    return {
        "pairs": count,
        "reward": reward,
        "free": others,
        "by_category": by_category,
        "better": reward["accuracy"] > best if count >= ENOUGH else None,
        "calibration_error": calibration_error(scores),
        "length_correlation": _correlation(scores[0] - scores[1], free["longer"][0] - free["longer"][1]),
    }


def accuracy(scores: Tensor) -> dict[str, float]:
    """How often the chosen answer has the higher score, ties counted half, with Wilson's 95 % interval."""
    count = scores.shape[1]
    right = float((scores[0] > scores[1]).sum() + 0.5 * (scores[0] == scores[1]).sum())
    if count == 0:
        return {"accuracy": math.nan, "low": 0.0, "high": 1.0, "pairs": 0}
    z, p = 1.96, right / count
    centre, spread = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return {"accuracy": p, "low": (centre - spread) / whole, "high": (centre + spread) / whole, "pairs": count}


def calibration_error(scores: Tensor) -> float:
    """Mean distance between the probability that the model gives its preferred answer and how often that one is right,
    over bins of the probability (expected calibration error, arXiv 1706.04599)."""
    difference = scores[0] - scores[1]
    stated, right = torch.sigmoid(difference.abs()), (difference > 0).float()
    bins = ((stated - 0.5) * 2 * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    total = 0.0
    for index in torch.unique(bins).tolist():
        of_bin = bins == index
        total += float(of_bin.sum()) * abs(float(stated[of_bin].mean() - right[of_bin].mean()))
    return total / max(1, len(difference))


def _correlation(x: Tensor, y: Tensor) -> float:
    """Pearson's; 0 where one of them does not vary."""
    if len(x) < 2 or float(x.std()) == 0 or float(y.std()) == 0:
        return 0.0
    return float(torch.corrcoef(torch.stack((x, y)))[0, 1])
