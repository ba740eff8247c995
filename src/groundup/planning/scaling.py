"""How loss falls with parameters and tokens: the law, its fit, and the best size for a budget.

    L(N, D) = E + A / N^alpha + B / D^beta            (Chinchilla, arXiv 2203.15556, approach 3)

For given exponents the law is linear in E, A and B, so a fit searches over the exponents alone and solves the rest by
linear least squares (variable projection, Golub and Pereyra 1973). N counts parameters, D training tokens, L nats per
token, and C = 6 N D FLOPs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOPS_PER_PARAMETER_TOKEN = 6
EXPONENTS = (0.05, 1.0)  # searched
GRID = 20  # exponents tried at first, in each direction
ROUNDS = 20  # after the grid; each narrows it to a third
FINE = 7  # exponents tried in each of them


@dataclass(frozen=True)
class ScalingLaw:
    """E + a / N^alpha + b / D^beta."""

    e: float
    """Nats per token that no size and no amount of text takes away."""
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, parameters: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
        """Nats per token."""
        n, d = np.asarray(parameters, float), np.asarray(tokens, float)
        return np.asarray(self.e + self.a * n**-self.alpha + self.b * d**-self.beta)

    def optimum(self, flops: float) -> tuple[float, float]:
        """(parameters, tokens) of the lowest loss for a budget C = 6 N D (arXiv 2203.15556, equation 4).

        Where the loss is lowest, alpha a N^-alpha = beta b D^-beta: one more percent of either helps alike.
        """
        total = self.alpha + self.beta
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1 / total)
        pairs = flops / FLOPS_PER_PARAMETER_TOKEN
        return g * pairs ** (self.beta / total), pairs ** (self.alpha / total) / g

    def tokens_for(self, parameters: float) -> float:
        """Tokens with which a model of so many parameters is compute-optimal."""
        return float((self.beta * self.b / (self.alpha * self.a) * parameters**self.alpha) ** (1 / self.beta))


CHINCHILLA = ScalingLaw(e=1.8172, a=482.01, b=2085.43, alpha=0.3478, beta=0.3658)
"""Chinchilla's own runs, fitted again (Besiroglu et al., arXiv 2404.10102)."""


def fit(parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike) -> ScalingLaw:
    """The law of least squared error.

    Args:
        parameters, tokens, losses: one of each per run; at least five runs, of three sizes and three token counts.

    Raises:
        ValueError: too few runs to determine five numbers.
    """
    n, d, y = (np.asarray(values, float) for values in (parameters, tokens, losses))
    if len(y) < 5 or len(np.unique(n)) < 3 or len(np.unique(d)) < 3:
        raise ValueError("a fit needs at least five runs, of at least three sizes and three token counts")
    low, high, points = np.full(2, EXPONENTS[0]), np.full(2, EXPONENTS[1]), GRID
    best = (np.inf, low)
    for _ in range(1 + ROUNDS):
        for alpha in np.linspace(low[0], high[0], points):
            for beta in np.linspace(low[1], high[1], points):
                _, error = _linear(n, d, y, alpha, beta)
                if error < best[0]:
                    best = error, np.array([alpha, beta])
        step = (high - low) / (points - 1)
        low, high, points = np.maximum(best[1] - step, 1e-3), best[1] + step, FINE
    alpha, beta = map(float, best[1])
    (e, a, b), _ = _linear(n, d, y, alpha, beta)
    return ScalingLaw(float(e), float(a), float(b), alpha, beta)


def bootstrap_fits(
    parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike, draws: int = 100, seed: int = 0
) -> list[ScalingLaw]:
    """Fits of runs drawn again with replacement; draws that can't determine the law are drawn again.

    A quantity's interval is the quantiles of its values under these laws.
    """
    n, d, y = (np.asarray(values, float) for values in (parameters, tokens, losses))
    random = np.random.default_rng(seed)
    found: list[ScalingLaw] = []
    while len(found) < draws:
        chosen = random.integers(0, len(y), len(y))
        if len(np.unique(chosen)) >= 5 and len(np.unique(n[chosen])) >= 3 and len(np.unique(d[chosen])) >= 3:
            found.append(fit(n[chosen], d[chosen], y[chosen]))
    return found


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of values, by quantiles."""
    low, high = np.quantile(np.asarray(values, float), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _linear(
    n: NDArray[np.float64], d: NDArray[np.float64], y: NDArray[np.float64], alpha: float, beta: float
) -> tuple[NDArray[np.float64], float]:
    """(E, A, B) of least squares at given exponents, and the sum of squared errors.

    Columns are scaled to a mean of 1, so that N^-alpha near 1e-4 loses no digits.
    """
    columns = np.stack([np.ones_like(y), n**-alpha, d**-beta], axis=1)
    scale = columns.mean(0)
    solved, *_ = np.linalg.lstsq(columns / scale, y, rcond=None)
    error = columns / scale @ solved - y
    return solved / scale, float(error @ error)
