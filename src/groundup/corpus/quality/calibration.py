"""From margins to probabilities: Platt scaling, and how far a score can be taken at its word."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 100
_SMALLEST = 1e-10  # step of Newton's method that is still taken


@dataclass(frozen=True)
class Calibration:
    """score = 1 / (1 + exp(-(slope margin + intercept)))."""

    slope: float = 1.0
    intercept: float = 0.0

    def scores(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of being good, 0 to 1; they rise with the margin."""
        return sigmoid(self.slope * margins + self.intercept)

    def facts(self) -> dict[str, float]:
        return asdict(self)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(values))
    found: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
    return found


def platt(margins: NDArray[np.float64], good: NDArray[np.bool_]) -> Calibration:
    """The slope and intercept of greatest likelihood, by Newton's method with backtracking.

    The targets are smoothed as by Platt (1999), (n + 1) / (n + 2) and 1 / (n + 2), so that classes that margins part
    without error get no infinite slope; the method is that of Lin, Lin and Weng (2007). Where the best slope is not
    above 0 (margins that mean nothing, or the opposite), the scores must still rise with the margin: the margins are
    then taken as log odds.

    Args:
        margins: [documents] of documents that the model has not learned from.
        good: [documents] their labels, with both kinds among them.
    """
    count, positive = len(good), int(good.sum())
    targets = np.where(good, (positive + 1) / (positive + 2), 1 / (count - positive + 2))
    slope, intercept = 0.0, float(np.log((positive + 1) / (count - positive + 1)))
    loss = _log_loss(slope * margins + intercept, targets)
    for _ in range(_STEPS):
        scores = sigmoid(slope * margins + intercept)
        weight = np.maximum(scores * (1 - scores), 1e-12)
        error = scores - targets
        gradient = np.array([np.sum(error * margins), np.sum(error)])
        curvature = np.array(
            [[np.sum(weight * margins * margins), np.sum(weight * margins)], [np.sum(weight * margins), np.sum(weight)]]
        ) + 1e-12 * np.eye(2)
        direction = -np.linalg.solve(curvature, gradient)
        if np.max(np.abs(gradient)) < 1e-9 * count:
            break
        step = 1.0
        while step >= _SMALLEST:
            new = slope + step * direction[0], intercept + step * direction[1]
            new_loss = _log_loss(new[0] * margins + new[1], targets)
            if new_loss < loss + 1e-4 * step * float(gradient @ direction):
                break
            step /= 2
        else:
            break
        slope, intercept, loss = float(new[0]), float(new[1]), new_loss
    return Calibration(slope, intercept) if slope > 0 else Calibration()


def _log_loss(margins: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    """Sum of -t log s - (1 - t) log(1 - s)."""
    return float(np.sum(np.logaddexp(0.0, margins) - targets * margins))


def reliability(scores: NDArray[np.float64], good: NDArray[np.bool_], bins: int = 10) -> list[dict[str, Any]]:
    """Bins of equal width that hold documents: bounds, count, mean score and fraction of good ones."""
    at = np.minimum((scores * bins).astype(np.int64), bins - 1)
    rows = []
    for number in range(bins):
        inside = at == number
        if inside.any():
            rows.append(
                {
                    "low": number / bins,
                    "high": (number + 1) / bins,
                    "documents": int(inside.sum()),
                    "mean_score": float(scores[inside].mean()),
                    "fraction_good": float(good[inside].mean()),
                }
            )
    return rows


def calibration_error(scores: NDArray[np.float64], good: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error (Guo et al., 2017, arXiv 1706.04599): mean distance over bins."""
    rows = reliability(scores, good, bins)
    return float(sum(row["documents"] * abs(row["mean_score"] - row["fraction_good"]) for row in rows) / len(scores))
