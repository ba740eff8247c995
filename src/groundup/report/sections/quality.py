"""How far the quality classifier can be trusted: measured on labelled documents that it has not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, facts, figure, join, number, p, side_by_side, table
from groundup.report.plots import Curve, curves
from groundup.report.run import Run
from groundup.report.wording import SPACE, counted, decimal, percent

MEASURES = {
    "accuracy": ("accuracy", "how many documents it judges as their label does"),
    "precision": ("precision", "of those it calls good, how many are"),
    "recall": ("recall", "of the good ones, how many it calls good"),
    "f1": ("F1", "precision and recall in one figure"),
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
    told = p(
        "Every document got a score from 0 to 1, how likely it is of the kind that was called good. "
        f"Those below {decimal(threshold, 3)} were dropped."
        if threshold is not None
        else "Every document got a score from 0 to 1, how likely it is of the kind that was called good."
    )
    if not heldout:
        return join([told, p("The classifier came from elsewhere and says nothing of how good it is.", class_="note")])
    return join([told, _about(training), _measures(heldout), _drawings(training, threshold)])


def _about(training: Mapping[str, Any]) -> Html:
    learned, heldout = training["examples"]["learned"], training["heldout"]
    kind = training["configuration"]["kind"]
    error, before = heldout["calibration_error"], training["uncalibrated"]["calibration_error"]
    return facts(
        [
            ("classifier", KINDS.get(kind, kind)),
            ("learned from", _documents(learned)),
            ("measured on", _documents(heldout)),
            ("calibration error", f"{decimal(error, 3)}, before scaling {decimal(before, 3)}"),
        ]
    )


def _documents(some: Mapping[str, Any]) -> str:
    """`1,600 documents, 50.0 % good`."""
    return f"{counted(some['documents'], 'document')}, {percent(some['good'] / some['documents'])} good"


def _measures(heldout: Mapping[str, Any]) -> Html:
    """Each figure with its standard error; a share with none counted is left empty."""
    rows = [
        (name, meaning, percent(heldout[key]["value"]), _error(heldout[key]["standard_error"]))
        for key, (name, meaning) in MEASURES.items()
    ]
    heading = f"held-out documents, called good from {decimal(heldout['threshold'], 2)} on"
    return table(["", heading, number("measured"), number("standard error")], rows)


def _error(error: float | None) -> str | None:
    return None if error is None else f"± {100 * error:.1f}{SPACE}%"


def _drawings(training: Mapping[str, Any], threshold: float | None) -> Html:
    heldout = training["heldout"]
    bad, good, thresholds = zip(*heldout["roc"], strict=True)
    chosen, told = None, ""
    if threshold is not None:
        # The last point of the curve at which all documents kept have a score of the threshold or more.
        at = max((place for place, value in enumerate(thresholds) if value >= threshold and place), default=0)
        chosen = Curve("the threshold", [bad[at]], [good[at]], "c")
        told = (
            f"At the threshold {percent(good[at])} of the good and {percent(bad[at])} of the bad documents are kept. "
        )
    roc = curves(
        "quality-roc",
        f"ROC curve: the share of the good documents that is kept, by the share of the bad. {told}",
        [Curve("the classifier", bad, good), Curve("by chance", [0, 1], [0, 1], "b"), chosen],
        x_label="share of the bad that is kept",
        y_label="share of the good",
    )
    bins = heldout["reliability"]
    scores = Curve("scores", [one["mean_score"] for one in bins], [one["share_good"] for one in bins], dots=True)
    calibration = curves(
        "quality-calibration",
        "Calibration: the share of good documents among those of about the same score, by that score. "
        + "; ".join(f"{one['mean_score']:.2f}: {one['share_good']:.2f} of {one['documents']}" for one in bins),
        [scores, Curve("at their word", [0, 1], [0, 1], "b")],
        x_label="score",
        y_label="share that is good",
    )
    return side_by_side(
        figure("What a threshold keeps", roc, told or None),
        figure("What a score means", calibration, "On the diagonal a score is the share of documents that are good."),
    )
