"""What a climbed ladder shows: the law, whether it predicts the held-out model, and what to do with a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.planning.ladder import Rung
from groundup.planning.scaling import (
    FLOPS_PER_PARAMETER_TOKEN,
    NORMAL,
    NUMBERS,
    ScalingLaw,
    bootstrap_fits,
    fit,
    interval,
    residuals,
    student,
)

SEEDS = 5  # of the bootstrap: a held-out model inside the interval of one seed alone would be luck
LEVEL = 0.95


@dataclass(frozen=True)
class MeasuredRung:
    """A rung after it was trained."""

    rung: Rung
    parameters: int
    tokens: int
    """As read: whole batches."""
    steps: int
    loss: float
    """Nats per token of held-out text."""
    seconds: float
    epochs: float

    @property
    def flops(self) -> float:
        return FLOPS_PER_PARAMETER_TOKEN * self.rung.n * self.tokens


@dataclass(frozen=True)
class Spread:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HeldoutTest:
    """The model that the fit did not see."""

    measured: MeasuredRung
    predicted: Spread
    """Its loss, with the luck of a single run."""
    inside: int
    """In the intervals of how many of `SEEDS` bootstraps it is."""


@dataclass(frozen=True)
class ScalingStudy:
    """The fit of a ladder."""

    rungs: tuple[MeasuredRung, ...]
    """Those fitted, the cheapest budget first."""
    law: ScalingLaw
    laws: tuple[ScalingLaw, ...]
    """Of all bootstraps."""
    noise: float
    """Standard deviation of the residuals, in nats."""
    test: HeldoutTest | None

    @property
    def undecided(self) -> float:
        """The fraction of the bootstrap's fits in which size, or text, has no effect."""
        return sum(not law.has_optimum for law in self.laws) / len(self.laws)

    def coefficients(self) -> dict[str, Spread]:
        """E, A, B, alpha, beta and the exponent of the best size."""
        names = ("e", "a", "b", "alpha", "beta", "exponent")
        return {
            name: Spread(getattr(self.law, name), *interval([getattr(law, name) for law in self.laws], LEVEL))
            for name in names
        }


@dataclass(frozen=True)
class Recommendation:
    """The best use of a budget."""

    flops: float
    n: Spread
    tokens: Spread
    loss: Spread


def study(measured: Sequence[MeasuredRung], draws: int = 100) -> ScalingStudy:
    """Fit all rungs but the held-out one, and test the law on that.

    Args:
        draws: fits for each of `SEEDS` bootstraps.

    Raises:
        ValueError: too few rungs, as `scaling.fit`.
    """
    fitted = tuple(one for one in measured if not one.rung.heldout)
    n, d, y = (np.array([of(one) for one in fitted]) for of in (_n, _tokens, _loss))
    law = fit(n, d, y)
    bootstraps = [bootstrap_fits(n, d, y, draws, seed) for seed in range(SEEDS)]
    laws = [one for of_seed in bootstraps for one in of_seed]
    luck = residuals(law, n, d, y)
    found = None
    for one in measured:
        if one.rung.heldout:
            intervals = [prediction_interval(of_seed, luck, one, seed) for seed, of_seed in enumerate(bootstraps)]
            inside = sum(low <= one.loss <= high for low, high in intervals)
            low, high = (float(np.mean(ends)) for ends in zip(*intervals, strict=True))
            found = HeldoutTest(one, Spread(float(law.loss(_n(one), one.tokens)), low, high), inside)
    return ScalingStudy(fitted, law, tuple(laws), float(luck.std()), found)


def prediction_interval(
    laws: Sequence[ScalingLaw], luck: NDArray[np.float64], one: MeasuredRung, seed: int
) -> tuple[float, float]:
    """Where a single further run's loss is to be expected: the laws' losses, each with a residual drawn at random.

    Wider by Student's t over the normal's: of a dozen rungs the residuals' own size is known only roughly.
    """
    drawn = np.random.default_rng([seed, 1]).choice(luck, (len(laws), 20))
    losses = np.array([law.loss(_n(one), one.tokens) for law in laws])[:, None] + drawn
    middle, wider = float(losses.mean()), student(len(luck) - NUMBERS) / NORMAL
    low, high = (middle + wider * (end - middle) for end in interval(losses.ravel(), LEVEL))
    return low, high


def recommend(found: ScalingStudy, flops: float) -> Recommendation | None:
    """The size and tokens of the lowest loss; None where the ladder can't say (no effect of size, or of text)."""
    usable = [law for law in found.laws if law.has_optimum]
    if not found.law.has_optimum or not usable:
        return None
    n, tokens = found.law.optimum(flops)
    each = np.array([law.optimum(flops) for law in usable])
    losses = [float(law.loss(n, tokens)) for law in found.laws]
    return Recommendation(
        flops,
        Spread(n, *interval(each[:, 0], LEVEL)),
        Spread(tokens, *interval(each[:, 1], LEVEL)),
        Spread(float(found.law.loss(n, tokens)), *interval(losses, LEVEL)),
    )


def as_json(
    found: ScalingStudy, best: Recommendation | None, values: Mapping[str, str], sentences: Sequence[str]
) -> dict[str, Any]:
    """Everything for programs; the same sentences as in the terminal."""
    return {
        "rungs": [asdict(one) for one in found.rungs],
        "coefficients": {name: asdict(one) for name, one in found.coefficients().items()},
        "noise": found.noise,
        "heldout": asdict(found.test) if found.test else None,
        "seeds": SEEDS,
        "recommended": asdict(best) if best else None,
        "blueprint": dict(values),
        "sentences": list(sentences),
    }


def _n(one: MeasuredRung) -> float:
    return one.rung.n


def _tokens(one: MeasuredRung) -> float:
    return float(one.tokens)


def _loss(one: MeasuredRung) -> float:
    return one.loss
