"""How curation went beside its rules: duplicates, quality, evaluation sets, redaction, repeated lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from groundup.report.markup import Html, facts, figure, h3, number, p, side_by_side, table
from groundup.report.plots import Curve, curves
from groundup.report.wording import count, counted, decimal, listed, percent, size

Figures = Mapping[str, Any]
PLURALS = {"key": "keys", "email": "e-mail addresses", "iban": "bank accounts", "card": "payment cards"}
PLURALS |= {"ip": "IP addresses", "phone": "telephone numbers"}


def details_of(figures: Figures) -> Iterator[Html]:
    """What the stage `curate` tells of each step that it took."""
    if "duplicates" in figures:
        yield from _duplicates(figures["duplicates"])
    if "quality" in figures:
        yield from _quality(figures["quality"])
    if figures.get("contamination"):
        yield from _contamination(figures)
    if "redactions" in figures or "repeated" in figures or "lines" in figures:
        yield from _taken_out(figures)


def _duplicates(found: Figures) -> Iterator[Html]:
    expected, measured = found["expected"], found["measured"]
    if not found["compared"]:
        return
    yield h3("How near-duplicates were found")
    pairs: list[tuple[str, str]] = [
        ("documents that looked alike", count(found["candidates"])),
        ("pairs compared, shingle by shingle", count(found["compared"])),
    ]
    if expected["recall"] is not None:
        pairs.append(("of all near-duplicate pairs found, by the formula", percent(expected["recall"])))
    if measured["recall"] is not None:
        checked = f"{percent(measured['recall'])} of {counted(measured['pairs'], 'pair')}"
        pairs.append((f"the same, by comparing {measured['sample']} documents with all", checked))
    yield facts(pairs)


def _quality(found: Figures) -> Iterator[Html]:
    yield h3("Quality")
    yield p(f"A document is kept with a score of {decimal(found['threshold'])} or more.")
    held = found["training"].get("heldout")
    if not held:
        return
    shown = {name: held[name] for name in ("accuracy", "precision", "recall", "f1", "auc")}
    yield p(
        f"The classifier on {counted(held['documents'], 'document')} that it had not seen, {held['good']:,} of them "
        f"good, at a threshold of {decimal(held['threshold'])}; with standard errors:"
    )
    rows = [(name, decimal(one["value"]), decimal(one["standard_error"])) for name, one in shown.items()]
    rows.append(("calibration error", decimal(held["calibration_error"]), ""))
    yield table(["", number("value"), number("±")], rows)
    false_positives, true_positives, _ = zip(*held["roc"], strict=True)
    roc = Curve("held-out documents", false_positives, true_positives)
    bins = held["reliability"]
    told = Curve(
        "held-out documents", [one["mean_score"] for one in bins], [one["share_good"] for one in bins], dots=True
    )
    diagonal = Curve("by chance", [0.0, 1.0], [0.0, 1.0], colour="b")
    right = Curve("a perfect score", [0.0, 1.0], [0.0, 1.0], colour="b")
    yield side_by_side(
        figure("ROC", curves("quality-roc", "ROC of the quality classifier", [roc, diagonal],
                             x_label="bad documents kept", y_label="good documents kept")),
        figure("Calibration", curves("quality-calibration", "calibration of the quality classifier", [told, right],
                                     x_label="score", y_label="share that is good")),
    )  # fmt: skip


def _contamination(figures: Figures) -> Iterator[Html]:
    yield h3("Evaluation sets in the documents")
    rows = [
        (one["set"], count(one["items"]), count(one["found"]), count(one["documents"]), count(one["too_short"]))
        for one in figures["contamination"]
    ]
    yield table(
        ["set", number("items"), number("found"), number("in documents"), number("too short to look for")], rows
    )
    cut = figures.get("decontamination", {})
    if cut:
        yield p(f"{counted(cut['paragraphs'], 'paragraph')} ({size(cut['bytes'])}) were cut out.", class_="note")


def _taken_out(figures: Figures) -> Iterator[Html]:
    yield h3("What was taken out of documents")
    if redactions := figures.get("redactions"):
        told = listed([f"{times:,} {PLURALS.get(kind, kind)}" for kind, times in redactions.items()])
        yield p(f"Found to be personal or a key, and treated as the blueprint says: {told}.")
    if lines := figures.get("lines"):
        yield p(f"Lines: {listed([f'{times:,} by {rule}' for rule, times in lines.items()])}.")
    if repeated := figures.get("repeated"):
        for unit in ("paragraphs", "lines"):
            if repeated.get(f"different {unit}") is not None:
                yield p(
                    f"{counted(repeated.get(unit, 0), unit[:-1])} ({size(repeated.get(f'bytes in {unit}', 0))}) that "
                    f"stand in other documents too; {repeated[f'different {unit}']:,} different ones."
                )
