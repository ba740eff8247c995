"""Platt scaling finds the maximum that another optimiser finds, and makes scores mean what they say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.quality.calibration import Calibration, calibration_error, platt, reliability, sigmoid


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5), st.floats(-2, 2))
def test_platt_is_the_maximum_likelihood(seed, slope, intercept):
    """Against L-BFGS of PyTorch on the same smoothed targets."""
    draw = np.random.default_rng(seed)
    margins = draw.normal(0, 2, 300)
    good = draw.random(300) < sigmoid(slope * margins + intercept)
    if good.all() or not good.any():
        return
    found = platt(margins, good)
    targets = np.where(good, (good.sum() + 1) / (good.sum() + 2), 1 / ((~good).sum() + 2))
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            parameters[0] * torch.from_numpy(margins) + parameters[1], torch.from_numpy(targets), reduction="sum"
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = parameters.detach().numpy()
    if expected[0] > 0:
        assert (found.slope, found.intercept) == pytest.approx(tuple(expected), rel=1e-4, abs=1e-4)
    else:
        assert found == Calibration()


def test_margins_that_are_too_sure_are_calibrated():
    """Margins three times too wide: the slope comes out at a third, and the calibration error falls to its noise."""
    draw = np.random.default_rng(0)
    truth = draw.normal(0, 1.5, 20_000)
    good = draw.random(20_000) < sigmoid(truth)
    calibration = platt(3 * truth, good)
    assert calibration.slope == pytest.approx(1 / 3, rel=0.05)
    assert calibration_error(Calibration().scores(3 * truth), good) > 0.1
    assert calibration_error(calibration.scores(3 * truth), good) < 0.015


@pytest.mark.parametrize("margins", [np.zeros(50), np.full(50, 7.0)])
def test_margins_without_information(margins):
    """No slope can be found: the margins stay log odds, and nothing is divided by zero."""
    good = np.arange(50) % 2 == 0
    found = platt(margins, good)
    assert np.isfinite([found.slope, found.intercept]).all()
    assert found.slope > 0


def test_separable_margins_get_a_finite_slope():
    good = np.arange(40) >= 20
    found = platt(np.where(good, 1.0, -1.0) + np.arange(40) / 100, good)
    assert 0 < found.slope < 100


def test_reliability_and_error_by_hand():
    """Two bins: .9 said and 1 true of 2; .1 said and 0 of 2. |.9 - .5| / 2 + |.1 - 0| / 2."""
    scores, good = np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, False, False])
    rows = reliability(scores, good)
    assert [(row["low"], row["documents"], row["fraction_good"]) for row in rows] == [(0.1, 2, 0.0), (0.9, 2, 0.5)]
    assert calibration_error(scores, good) == pytest.approx(0.25)
    assert sum(row["documents"] for row in reliability(np.array([0.0, 0.5, 1.0]), np.array([True] * 3))) == 3
