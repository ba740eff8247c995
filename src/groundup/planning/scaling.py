"""How loss falls with parameters and tokens: the law, its fit, and the best size for a budget.

    L(N, D) = E + A / N^alpha + B / D^beta            (Chinchilla, arXiv 2203.15556, approach 3)

For given exponents the law is linear in E, A and B, so a fit searches over the exponents alone and solves the rest by
linear least squares (variable projection, Golub and Pereyra 1973), none of them below 0. N counts parameters, D
training tokens, L nats per token, and C = 6 N D FLOPs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOPS_PER_PARAMETER_TOKEN = 6
EXPONENTS = (0.05, 1.0)  # searched
GRID = 20  # exponents tried at first, in each direction
ROUNDS = 20  # after the grid; each narrows it to a third
FINE = 7  # exponents tried in each of them
BOOTSTRAP_ROUNDS = 4  # an interval needs no exponents to more than three digits
NUMBERS = 5  # that a fit determines
# Student's t at 97.5 %, by degrees of freedom from 1 on; beyond, the last one is on the safe side.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
NORMAL = 1.960  # of a deviation that is known
SUBSETS = ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))  # of E, A and B, which are not 0


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

    @property
    def has_optimum(self) -> bool:
        """Whether both size and text count; where a fit finds that one doesn't, no size is the best."""
        return self.a > 0 and self.b > 0

    @property
    def exponent(self) -> float:
        """Of compute, by which the best size grows: N ~ C^exponent (arXiv 2203.15556, equation 4)."""
        return self.beta / (self.alpha + self.beta)

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
    if len(y) < NUMBERS or len(np.unique(n)) < 3 or len(np.unique(d)) < 3:
        raise ValueError("a fit needs at least five runs, of at least three sizes and three token counts")
    return _fits(n, d, y[None], ROUNDS)[0]


def residuals(law: ScalingLaw, parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike) -> NDArray[np.float64]:
    """What runs are above the law, in nats, as large as they would be had it not been fitted to these very runs
    (n / (n - 5) of their variance)."""
    found = np.asarray(losses, float) - law.loss(parameters, tokens)
    found = found - found.mean()
    return found * float(np.sqrt(len(found) / max(1, len(found) - NUMBERS)))


def bootstrap_fits(
    parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike, draws: int = 100, seed: int = 0
) -> list[ScalingLaw]:
    """Fits of the same runs with other luck: the law's losses plus residuals drawn with replacement.

    Residuals and not runs are drawn, because a ladder's sizes and tokens are chosen, not found (Efron and Tibshirani
    1993, chapter 9). A quantity's interval is the quantiles of its values under these laws.
    """
    n, d, y = (np.asarray(values, float) for values in (parameters, tokens, losses))
    law, random = fit(n, d, y), np.random.default_rng(seed)
    drawn = random.choice(residuals(law, n, d, y), (draws, len(y)))
    return _fits(n, d, law.loss(n, d) + drawn, BOOTSTRAP_ROUNDS)


def student(freedom: int) -> float:
    """Student's t at 97.5 %."""
    return STUDENT[min(max(1, freedom), len(STUDENT)) - 1]


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of values, by quantiles."""
    low, high = np.quantile(np.asarray(values, float), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def parabola(parameters: ArrayLike, losses: ArrayLike) -> tuple[float, float, float] | None:
    """(c0, c1, c2) of loss = c0 + c1 x + c2 x^2 over x = log N: the isoFLOP of one budget (arXiv 2203.15556,
    approach 2). Its minimum, exp(-c1 / 2 c2), is biased where sizes are far from it (arXiv 2603.22339): to look at,
    next to the law. None where it has no minimum."""
    c2, c1, c0 = np.polyfit(np.log(np.asarray(parameters, float)), np.asarray(losses, float), 2)
    return (float(c0), float(c1), float(c2)) if c2 > 0 else None


def _fits(n: NDArray[np.float64], d: NDArray[np.float64], y_MR: NDArray[np.float64], rounds: int) -> list[ScalingLaw]:
    """The laws of M series of losses of the same R runs: a grid of exponents, then ever finer ones around each best."""
    low, high = EXPONENTS
    grid = np.linspace(low, high, GRID)
    alpha_MG, beta_MG = (axis.ravel()[None] for axis in np.meshgrid(grid, grid))
    step = (high - low) / (GRID - 1)
    for _ in range(1 + rounds):
        solved_MG3, error_MG = _linear(n, d, y_MR, alpha_MG, beta_MG)
        best_M = error_MG.argmin(1)
        rows = np.arange(len(y_MR))
        alpha_M, beta_M = (x[rows, best_M] if len(x) > 1 else x[0, best_M] for x in (alpha_MG, beta_MG))
        solved_M3 = solved_MG3[rows, best_M]
        around = np.linspace(-step, step, FINE)
        near_a, near_b = (axis.ravel()[None] for axis in np.meshgrid(around, around))
        alpha_MG = np.clip(alpha_M[:, None] + near_a, *EXPONENTS)
        beta_MG = np.clip(beta_M[:, None] + near_b, *EXPONENTS)
        step *= 2 / (FINE - 1)
    return [
        ScalingLaw(float(e), float(a), float(b), float(alpha), float(beta))
        for (e, a, b), alpha, beta in zip(solved_M3, alpha_M, beta_M, strict=True)
    ]


def _linear(
    n: NDArray[np.float64],
    d: NDArray[np.float64],
    y_MR: NDArray[np.float64],
    alpha_MG: NDArray[np.float64],
    beta_MG: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(E, A, B) [M, G, 3] of least squares, none below 0, at given exponents, and the sums of squared errors [M, G].

    Exponents [1, G] are the same for all series. Columns are scaled to a mean of 1, so that N^-alpha near 1e-4 loses
    no digits.
    """
    powers = n ** -alpha_MG[..., None], d ** -beta_MG[..., None]
    columns = np.stack([np.ones_like(powers[0]), *powers], axis=-1)  # [M or 1, G, R, 3]
    scale = columns.mean(-2, keepdims=True)
    columns /= scale
    shape = (len(y_MR), alpha_MG.shape[1])
    solved, error, open_ = np.zeros((*shape, 3)), np.full(shape, np.inf), np.ones(shape, bool)
    for subset in SUBSETS:  # with fewer numbers only where more have one below 0
        if not open_.any():
            break
        chosen = columns[..., list(subset)]
        found = np.linalg.pinv(chosen) @ y_MR[:, None, :, None]  # [M, G, numbers, 1]
        left = (chosen @ found)[..., 0] - y_MR[:, None]
        squared = (left**2).sum(-1)
        better = open_ & (found >= 0).all((-2, -1)) & (squared < error)
        error = np.where(better, squared, error)
        whole = np.zeros((*shape, 3))
        whole[..., list(subset)] = found[..., 0]
        solved = np.where(better[..., None], whole, solved)
        if len(subset) == 3:
            open_ = np.isinf(error)
    return solved / scale[..., 0, :], error
