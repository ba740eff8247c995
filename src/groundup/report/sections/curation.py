"""How curation went besides its rules: duplicates, evaluation sets, redaction, repeated lines."""

from __future__ import annotations

from collections.abc import Iterator

from groundup.artifacts import Figures
from groundup.corpus.redaction.configuration import NAMES
from groundup.corpus.rules import RULES
from groundup.report.markup import Html, facts, h3, number, p, table, term
from groundup.report.wording import count, counted, listed, percent, size


def details_of(figures: Figures) -> Iterator[Html]:
    """A part for each step of the stage `curate` that has figures."""
    if "duplicates" in figures:
        yield from _duplicates(figures["duplicates"])
    if figures.get("contamination"):
        yield from _contamination(figures)
    if "redactions" in figures or "repeated" in figures or "lines" in figures:
        yield from _taken_out(figures)


def _duplicates(found: Figures) -> Iterator[Html]:
    expected, measured = found["expected"], found["measured"]
    if not found["compared"]:
        return
    yield h3("How ", term("near-duplicate", "near-duplicates"), " were found")
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


def _contamination(figures: Figures) -> Iterator[Html]:
    yield h3("Evaluation sets in the documents (", term("contamination"), ")")
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
    yield h3("What was removed from documents")
    if redactions := figures.get("redactions"):
        found = listed([f"{times:,} {NAMES[kind].many}" for kind, times in redactions.items()])
        yield p(f"Personal data and keys, treated as the blueprint sets it: {found}.")
    if lines := figures.get("lines"):
        found = listed([f"{times:,} {RULES[f'lines.{rule}'].words()}" for rule, times in lines.items()])
        yield p(f"From texts: {found}.")
    if repeated := figures.get("repeated"):
        for unit in ("paragraphs", "lines"):
            if repeated.get(f"different {unit}") is not None:
                yield p(
                    f"{counted(repeated.get(unit, 0), unit[:-1])} ({size(repeated.get(f'bytes in {unit}', 0))}) that "
                    f"occur in other documents too; {repeated[f'different {unit}']:,} different ones."
                )
