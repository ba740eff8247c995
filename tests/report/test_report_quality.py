"""The report's section on the quality classifier shows what was measured on held-out documents."""

import re
from types import SimpleNamespace

import lxml.html
import numpy as np
import pytest

from groundup.corpus.quality.calibration import calibration_error, sigmoid
from groundup.corpus.quality.evaluation import evaluate
from groundup.report.configuration import ReportConfig
from groundup.report.sections.quality import quality


def training(n=400):
    draw = np.random.default_rng(1)
    margins = draw.normal(0, 1.5, n)
    good = draw.random(n) < sigmoid(margins)
    scores = sigmoid(margins)
    return scores, good, {
        "configuration": {"kind": "linear"},
        "examples": {"learned": {"documents": 1600, "good": 800, "skipped": {}}},
        "heldout": evaluate(scores, good).figures(),
        "uncalibrated": {"calibration_error": calibration_error(sigmoid(3 * margins), good), "log_loss": 0.5},
    }  # fmt: skip


def shown(figures):
    run = SimpleNamespace(figures=lambda stage: {"quality": figures} if figures else {})
    html = quality(run, ReportConfig())
    return html and re.sub(r"\s+", " ", lxml.html.fromstring(f"<div>{html}</div>").text_content()), html


def test_figures_and_drawings_are_those_of_the_evaluation():
    """Accuracy and AUC with their errors; what the threshold keeps is what counting finds; both drawings are there."""
    scores, good, trained = training()
    text, html = shown({"threshold": 0.7, "training": trained})
    heldout = trained["heldout"]
    for name in ("accuracy", "precision", "recall", "f1", "auc"):
        assert f"{100 * heldout[name]['value']:.1f}" in text.replace("\u202f", " ")
        assert f"± {100 * heldout[name]['standard_error']:.1f}" in text
    keeps = [100 * np.mean(scores[label] >= 0.7) for label in (good, ~good)]
    shown_rates = re.search(r"At the threshold ([\d.]+) % of the good and ([\d.]+) % of the bad", text)
    # The curve is thinned out to 200 of 400 points, so one document of either kind may be missing.
    assert float(shown_rates[1]) == pytest.approx(keeps[0], abs=100 / good.sum() + 0.06)
    assert float(shown_rates[2]) == pytest.approx(keeps[1], abs=100 / (~good).sum() + 0.06)
    assert html.count("<svg") == 2
    assert "before scaling" in text


def test_a_model_from_elsewhere_or_none():
    """Without figures of its own only the threshold is shown; without a classifier there is no section."""
    text, html = shown({"threshold": 0.25, "training": {}})
    assert "below 0.250 were dropped" in text
    assert "<svg" not in html
    assert shown(None)[1] is None


def test_extreme_thresholds_are_on_the_curve():
    _, _, trained = training()
    assert "At the threshold 100.0" in shown({"threshold": 0.0, "training": trained})[0]
    assert "At the threshold 0.0" in shown({"threshold": 1.0, "training": trained})[0]
