"""How good a classifier is on documents that it has not learned from, each figure with its standard error."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.quality.calibration import calibration_error, reliability
from groundup.errors import GroundupError

CURVE = 200  # points of the ROC curve that are kept


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error; both are None where there is nothing to measure it on."""

    value: float | None
    standard_error: float | None


@dataclass(frozen=True)
class Evaluation:
    """A classifier measured on labelled documents. `figures()` is what the report reads."""

    documents: int
    good: int
    threshold: float
    accuracy: Estimate
    precision: Estimate
    """Of the documents at or above the threshold, the fraction that is good."""
    recall: Estimate
    """Of the good documents, the fraction that is at or above it."""
    f1: Estimate
    kept: float
    """Fraction of the documents at or above it."""
    auc: Estimate
    """Probability that a good document has a higher score than a bad one, ties half."""
    log_loss: float
    """Mean, in nats."""
    calibration_error: float
    roc: list[tuple[float, float, float]]
    """(false positive rate, true positive rate, threshold) by falling threshold; the first two from 0, 0 to 1, 1."""
    reliability: list[dict[str, Any]]
    """See `calibration.reliability`."""

    def figures(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"roc": [list(point) for point in self.roc]}


def evaluate(scores: NDArray[Any], good: NDArray[np.bool_], threshold: float = 0.5) -> Evaluation:
    """Measure scores against labels.

    Args:
        scores: [documents] in 0 to 1.
        good: [documents] labels.
        threshold: a document with this score or more is called good.

    Raises:
        GroundupError: there are not both good and bad documents.
    """
    scores = np.asarray(scores, dtype=np.float64)
    positive, negative = int(good.sum()), int((~good).sum())
    if not positive or not negative:
        raise GroundupError(
            f"can't be measured on {positive} good and {negative} bad documents",
            where="quality",
            do="give labelled documents of both kinds, or hold out more of them",
        )
    called = scores >= threshold
    true_positive, false_positive = int((called & good).sum()), int((called & ~good).sum())
    missed = positive - true_positive
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return Evaluation(
        documents=len(good),
        good=positive,
        threshold=float(threshold),
        accuracy=_fraction(int((called == good).sum()), len(good)),
        precision=_fraction(true_positive, true_positive + false_positive),
        recall=_fraction(true_positive, positive),
        f1=_f1(true_positive, true_positive + false_positive + missed),
        kept=float(called.mean()),
        auc=area_under_curve(scores, good),
        log_loss=float(-np.mean(np.where(good, np.log(clipped), np.log1p(-clipped)))),
        calibration_error=calibration_error(scores, good),
        roc=roc_curve(scores, good),
        reliability=reliability(scores, good),
    )


def _fraction(count: int, of: int) -> Estimate:
    """A binomial fraction."""
    if not of:
        return Estimate(None, None)
    fraction = count / of
    return Estimate(fraction, math.sqrt(fraction * (1 - fraction) / of))


def _f1(true_positive: int, union: int) -> Estimate:
    """F1 = 2 J / (1 + J) of J = TP / (TP + FP + FN), a binomial fraction; its error by the delta method."""
    jaccard = _fraction(true_positive, union)
    if jaccard.value is None or jaccard.standard_error is None:
        return Estimate(None, None)
    return Estimate(2 * jaccard.value / (1 + jaccard.value), 2 * jaccard.standard_error / (1 + jaccard.value) ** 2)


def area_under_curve(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> Estimate:
    """AUC with DeLong's standard error, by mid-ranks (Sun and Xu, 2014): no two documents are compared."""
    positive, negative = scores[good], scores[~good]
    m, n = len(positive), len(negative)
    ranks = _mid_ranks(scores)
    above = (ranks[good] - _mid_ranks(positive)) / n  # of each good document: the fraction of bad ones below it
    below = 1.0 - (ranks[~good] - _mid_ranks(negative)) / m
    error = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n) if m > 1 and n > 1 else None
    return Estimate(float(above.mean()), error)


def _mid_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values get the mean of theirs."""
    _, position, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: NDArray[np.float64] = (last - (count - 1) / 2)[position]
    return found


def roc_curve(
    scores: NDArray[np.float64], good: NDArray[np.bool_], most: int = CURVE
) -> list[tuple[float, float, float]]:
    """(false positive rate, true positive rate, threshold) at each different score, thinned out evenly to `most`."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))  # of each run of equal scores
    true = np.cumsum(good[order])[last] / max(1, int(good.sum()))
    false = np.cumsum(~good[order])[last] / max(1, int((~good).sum()))
    chosen = np.unique(np.linspace(0, len(last) - 1, min(most, len(last))).round().astype(np.int64))
    points = [(float(false[at]), float(true[at]), float(sorted_scores[last[at]])) for at in chosen]
    return [(0.0, 0.0, 1.0), *points]
