"""How often one model's answers are preferred to another's, with an interval, and with the effect of length removed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundup.evaluation.checker import Interval, bootstrap

RESAMPLES = 2000
RIDGE = 1e-2  # of the fit: keeps it finite where one side always wins
STEPS = 50


@dataclass(frozen=True)
class WinRate:
    """Of `comparisons`; ties count half."""

    comparisons: int
    rate: Interval
    length_controlled: float
    """The rate among answers of the same length."""


def win_rate(
    scores: Sequence[float],
    lengths: Sequence[tuple[int, int]],
    groups: Sequence[str],
    seed: int = 0,
    trainings: Sequence[int] | None = None,
) -> WinRate:
    """The win rate of the first of two models.

    Args:
        scores: of each comparison: 1 the first is preferred, 0 the second, 0.5 neither.
        lengths: of the two answers, in any unit.
        groups: what makes comparisons dependent on each other, as their prompt; drawn together in the interval.
        trainings: of which training of the first model each comparison is; see `bootstrap`.

    >>> win_rate([1, 1, 0, 1], [(5, 5)] * 4, ["a", "b", "c", "d"]).rate.mean
    0.75
    """
    return WinRate(
        len(scores), bootstrap(scores, groups, RESAMPLES, seed, trainings), length_controlled(scores, lengths)
    )


def length_controlled(scores: Sequence[float], lengths: Sequence[tuple[int, int]]) -> float:
    """The win rate that a logistic model gives to answers of equal length (arXiv 2404.04475, without the terms for the
    difficulty of each prompt): logit = a + b tanh(difference in length / its standard deviation)."""
    score_N = np.asarray(scores, dtype=np.float64)
    difference_N = np.subtract(*np.asarray(lengths, dtype=np.float64).T)
    spread = float(difference_N.std())
    columns = [np.ones_like(score_N)]
    if spread > 0:
        columns.append(np.tanh(difference_N / spread))
    return float(_sigmoid(_logistic(np.stack(columns, 1), score_N)[0]))


def _logistic(x_ND: npt.NDArray[np.float64], score_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coefficients of a logistic regression, by Newton's method."""
    weight_D = np.zeros(x_ND.shape[1])
    for _ in range(STEPS):
        p_N = _sigmoid(x_ND @ weight_D)
        gradient_D = x_ND.T @ (score_N - p_N) - RIDGE * weight_D
        hessian_DD = (x_ND * (p_N * (1 - p_N))[:, None]).T @ x_ND + RIDGE * np.eye(x_ND.shape[1])
        weight_D = weight_D + np.linalg.solve(hessian_DD, gradient_D)
    return weight_D


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))
