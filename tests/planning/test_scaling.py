"""The fit finds the law that made its points, its intervals hold the truth, and the optimum is one."""

import numpy as np
import pytest

from groundup.planning.scaling import CHINCHILLA, ScalingLaw, bootstrap_fits, fit, interval, parabola

TRUE = ScalingLaw(e=1.69, a=406.4, b=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al.'s, as `vpnls` takes them
SIZES, TOKENS = np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6))
N, D = SIZES.ravel(), TOKENS.ravel()


def test_synthetic_points_are_recovered_exactly() -> None:
    found = fit(N, D, TRUE.loss(N, D))
    for name in ("e", "a", "b", "alpha", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=1e-6), name


def test_noise_stays_inside_of_the_intervals() -> None:
    """Five draws of noise of 1 %: a run ten times larger than any in the fit is predicted, and inside."""
    inside = 0
    for seed in range(5):
        noisy = TRUE.loss(N, D) * np.exp(0.01 * np.random.default_rng(seed).normal(size=len(N)))
        laws = bootstrap_fits(N, D, noisy, draws=20, seed=seed)
        low, high = interval([law.loss(1e11, 1e13) for law in laws], 1.0)
        inside += low <= TRUE.loss(1e11, 1e13) <= high
        assert low < high
    assert inside == 5


def test_no_number_of_the_law_is_below_zero() -> None:
    """Runs in which more text makes the loss higher: text has no effect, and there is no best size to report."""
    rising = fit(N, D, 3 + 100 * N**-0.4 + 1e-13 * D)
    assert rising.b == 0 and rising.a > 0 and not rising.has_optimum
    assert TRUE.has_optimum and TRUE.exponent == pytest.approx(0.28 / 0.62)


def test_a_parabola_has_its_minimum_where_it_was_put() -> None:
    sizes = np.geomspace(1e6, 1e8, 5)
    found = parabola(sizes, 3 + 0.1 * (np.log(sizes) - np.log(2e7)) ** 2)
    assert found and np.exp(-found[1] / 2 / found[2]) == pytest.approx(2e7)
    assert parabola(sizes, -(np.log(sizes) ** 2)) is None


def test_chinchillas_own_budget() -> None:
    """5.76e23 FLOPs: 72.2 B parameters and 1.33 T tokens, from the coefficients fitted again."""
    parameters, tokens = CHINCHILLA.optimum(5.76e23)
    assert parameters == pytest.approx(72.2e9, rel=0.01) and tokens == pytest.approx(1.33e12, rel=0.01)
    assert CHINCHILLA.tokens_for(parameters) == pytest.approx(tokens, rel=1e-6)


@pytest.mark.parametrize("flops", [1e18, 1e21, 1e25])
def test_no_other_size_is_better_for_the_budget(flops: float) -> None:
    best, tokens = CHINCHILLA.optimum(flops)
    assert 6 * best * tokens == pytest.approx(flops)
    sizes = best * np.geomspace(0.2, 5, 401)
    losses = CHINCHILLA.loss(sizes, flops / 6 / sizes)
    assert sizes[losses.argmin()] == pytest.approx(best, rel=0.01)


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least five runs"):
        fit([1e6] * 6, [1e7, 2e7, 3e7, 4e7, 5e7, 6e7], [3.0] * 6)
