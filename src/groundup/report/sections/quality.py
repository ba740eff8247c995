"""How far the quality classifier can be trusted: measured on labelled documents that it has not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, facts, figure, join, label, number, p, side_by_side, table
from groundup.report.plots import Curve, curves
from groundup.report.run import Run
from groundup.report.wording import SPACE, counted, decimal, percent

MEASURES = {
    "accuracy": ("accuracy", "the fraction of documents that it classifies as their label does"),
    "precision": ("precision", "of those it calls good, how many are"),
    "recall": ("recall", "of the good ones, how many it calls good"),
    "f1": ("F1", "the harmonic mean of precision and recall"),
    "auc": ("AUC", "how often it scores a good document above a bad one"),
}
KINDS = {"linear": "hashed words, linear", "fasttext": "fastText"}


def quality(run: Run, config: ReportConfig) -> Html | None:
    """Threshold, held-out figures with their errors, ROC curve and calibration; None where nothing was scored."""
    figures: Mapping[str, Any] = run.figures("curate").get("quality") or {}
    if not figures:
        return None
    training: Mapping[str, Any] = figures.get("training") or {}
    threshold = figures.get("threshold")
    heldout: Mapping[str, Any] = training.get("heldout") or {}
    intro = p(
        "Every document got a score from 0 to 1, how likely it is of the kind that was called good. "
        f"Those below {decimal(threshold, 3)} were dropped."
        if threshold is not None
        else "Every document got a score from 0 to 1, how likely it is of the kind that was called good."
    )
    if not heldout:
        return join([intro, p("The classifier came from elsewhere, without figures of how good it is.", class_="note")])
    return join([intro, _about(training), _measures(heldout), _drawings(training, threshold)])


def _about(training: Mapping[str, Any]) -> Html:
    learned, heldout = training["examples"]["learned"], training["heldout"]
    kind = training["configuration"]["kind"]
    error, before = heldout["calibration_error"], training["uncalibrated"]["calibration_error"]
    return facts(
        [
            ("quality classifier", KINDS.get(kind, kind)),
            ("learned from", _documents(learned)),
            ("measured on", _documents(heldout)),
            ("calibration error", f"{decimal(error, 3)}, before scaling {decimal(before, 3)}"),
        ]
    )


def _documents(some: Mapping[str, Any]) -> str:
    """`1,600 documents, 50.0 % good`."""
    return f"{counted(some['documents'], 'document')}, {percent(some['good'] / some['documents'])} good"


def _measures(heldout: Mapping[str, Any]) -> Html:
    """Each figure with its standard error; an undefined one is empty."""
    rows = [
        (label(name), meaning, percent(heldout[key]["value"]), _error(heldout[key]["standard_error"]))
        for key, (name, meaning) in MEASURES.items()
    ]
    heading = f"held-out documents, called good from {decimal(heldout['threshold'], 2)} on"
    return table(["", heading, number("measured"), number("standard error")], rows)


def _error(error: float | None) -> str | None:
    return None if error is None else f"± {100 * error:.1f}{SPACE}%"


def _drawings(training: Mapping[str, Any], threshold: float | None) -> Html:
    heldout = training["heldout"]
    bad, good, thresholds = zip(*heldout["roc"], strict=True)
    chosen, note = None, ""
    if threshold is not None:
        # The last point of the curve at which all documents kept have a score of the threshold or more.
        at = max((i for i, value in enumerate(thresholds) if value >= threshold and i), default=0)
        chosen = Curve("the threshold", [bad[at]], [good[at]], "c")
        note = (
            f"At the threshold {percent(good[at])} of the good and {percent(bad[at])} of the bad documents are kept. "
        )
    roc = curves(
        "quality-roc",
        f"ROC curve: the fraction of the good documents that is kept, by the fraction of the bad. {note}",
        [Curve("the classifier", bad, good), Curve("by chance", [0, 1], [0, 1], "b"), chosen],
        x_label="fraction of the bad that is kept",
        y_label="fraction of the good",
    )
    bins = heldout["reliability"]
    scores = Curve("scores", [one["mean_score"] for one in bins], [one["fraction_good"] for one in bins], dots=True)
    calibration = curves(
        "quality-calibration",
        "Calibration: the fraction of good documents among those of about the same score, by that score. "
        + "; ".join(f"{one['mean_score']:.2f}: {one['fraction_good']:.2f} of {one['documents']}" for one in bins),
        [scores, Curve("perfectly calibrated", [0, 1], [0, 1], "b")],
        x_label="score",
        y_label="fraction that is good",
    )
    return side_by_side(
        figure("What a threshold keeps", roc, note or None),
        figure(
            "What a score means", calibration, "On the diagonal a score is the fraction of documents that are good."
        ),
    )
