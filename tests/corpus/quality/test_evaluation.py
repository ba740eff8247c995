"""Figures are those of counting by hand; their standard errors are those that repeated draws show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.quality.calibration import sigmoid
from groundup.corpus.quality.evaluation import area_under_curve, evaluate, roc_curve
from groundup.errors import GroundupError

LABELLED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=2, max_size=30
)


def both(rows):
    scores, good = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    return scores, good, bool(good.any() and not good.all())


@settings(max_examples=200)
@given(LABELLED, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_figures_are_those_of_counting(rows, threshold):
    """Every pair compared for AUC, every document for the rest, ties included."""
    scores, good, fit = both(rows)
    if not fit:
        return
    found = evaluate(scores, good, threshold)
    positive, negative = scores[good], scores[~good]
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    assert found.auc.value == pytest.approx(np.mean(pairs))
    called = [score >= threshold for score in scores]
    hits = sum(c and g for c, g in zip(called, good, strict=True))
    assert found.accuracy.value == pytest.approx(np.mean(np.array(called) == good))
    assert found.recall.value == pytest.approx(hits / good.sum())
    if sum(called):
        precision = hits / sum(called)
        assert found.precision.value == pytest.approx(precision)
        if hits:
            expected = 2 * precision * found.recall.value / (precision + found.recall.value)
            assert found.f1.value == pytest.approx(expected)
    else:
        assert found.precision.value is None
    curve = np.array([point[:2] for point in found.roc])
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    assert (np.diff(curve, axis=0) >= 0).all()
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(found.auc.value)


def drawn(seed, n):
    draw = np.random.default_rng(seed)
    margins = draw.normal(0, 1.2, n)
    return sigmoid(margins), draw.random(n) < sigmoid(margins)


def test_standard_errors_are_those_of_repeated_draws():
    """600 draws of 250 documents: the spread of each figure is what its standard error says, within 12 %."""
    found = [evaluate(*drawn(seed, 250)) for seed in range(600)]
    for name in ("accuracy", "precision", "recall", "f1", "auc"):
        values = np.array([getattr(one, name).value for one in found])
        reported = np.mean([getattr(one, name).standard_error for one in found])
        assert reported == pytest.approx(values.std(), rel=0.12), name


def test_delong_by_definition():
    """Against the definition: variance of each document's own fraction of pairs won."""
    scores, good = drawn(3, 80)
    scores = scores.round(1)
    won = np.array([[(a > b) + 0.5 * (a == b) for b in scores[~good]] for a in scores[good]])
    expected = won.mean(axis=1).var(ddof=1) / won.shape[0] + won.mean(axis=0).var(ddof=1) / won.shape[1]
    assert area_under_curve(scores, good).standard_error == pytest.approx(expected**0.5)


def test_a_long_curve_is_thinned_out():
    scores, good = drawn(4, 5000)
    curve = roc_curve(scores, good)
    assert len(curve) <= 201
    area = np.trapezoid([point[1] for point in curve], [point[0] for point in curve])
    assert area == pytest.approx(area_under_curve(scores, good).value, abs=1e-3)


def test_one_kind_alone_can_not_be_measured():
    with pytest.raises(GroundupError, match="3 good and 0 bad"):
        evaluate(np.ones(3), np.ones(3, bool))
