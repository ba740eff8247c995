"""What was read, what was kept, and what each rule dropped, with samples to judge the rule by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from groundup.corpus.ledger import LedgerEntry
from groundup.report.configuration import ReportConfig
from groundup.report.markup import BAR, Html, bar, code, details, excerpt, h3, join, listed, number, p, table, tag, term
from groundup.report.run import Run
from groundup.report.sections.curation import details_of
from groundup.report.sections.rules import meaning
from groundup.report.wording import count, counted, decimal, percent, shortened, size

STEPS = {
    "found": "found in the sources",
    "read": "that could be read",
    "redaction": "without secrets that no document may contain",
    "urls": "from addresses that are allowed",
    "lines": "with some lines removed",
    "rules": "that pass every rule",
    "contamination": "without items of evaluation sets",
    "quality": "of sufficient quality",
    "exact duplicates": "without exact duplicates",
    "near-duplicates": "without near-duplicates",
    "repeated": "without what many documents repeat",
}
MAX_ORIGINS = 15  # sources and licences named, the rest is summed up


def documents(run: Run, config: ReportConfig) -> Html | None:
    """The funnel, the sources, what was dropped, the held-out set."""
    figures = run.figures("curate")
    if "funnel" not in figures:
        return None
    return join(
        [
            _funnel(figures["funnel"]),
            h3("Where they came from"),
            _sources(run),
            _languages(figures),
            *_dropped(run),
            *details_of(figures),
            *_heldout(run),
        ]
    )


def _funnel(funnel: Sequence[Mapping[str, Any]]) -> Html:
    first = max(1, funnel[0]["documents"])
    lost = [None, *(before["documents"] - after["documents"] for before, after in pairwise(funnel))]
    names = [STEPS.get(step["step"], step["step"]) for step in funnel]
    names[-1] += ": kept"
    rows = [
        (
            name,
            bar(step["documents"] / first),
            count(step["documents"]),
            count(gone) if gone else None,
            size(step["bytes"]),
        )
        for name, step, gone in zip(names, funnel, lost, strict=True)
    ]
    kept = funnel[-1]["documents"]
    return join(
        [
            p(f"Of {counted(first, 'document')} that were found, {kept:,} are kept ({percent(kept / first)})."),
            table(["", BAR, number("documents"), number("dropped"), number("text")], rows),
        ]
    )


def _sources(run: Run) -> Html:
    """Per source and licence: documents and their fraction; per source what was read of it."""
    total = max(1, run.kept.by_origin.total())
    read = run.figures("curate")["sources"]
    ordered = sorted(run.kept.by_origin.items(), key=lambda one: (-one[1], one[0]))
    rows = [
        (source, licence or "not stated", count(read[source]["read_documents"]), bar(kept / total), count(kept))
        for (source, licence), kept in ordered[:MAX_ORIGINS]
    ]
    if rest := ordered[MAX_ORIGINS:]:
        kept = sum(number for _, number in rest)
        rows.append((f"{len(rest)} more", "", "", bar(kept / total), count(kept)))
    return table(["source", "licence", number("read of the source"), BAR, number("kept")], rows)


def _languages(figures: Mapping[str, Any]) -> Html | None:
    found = figures.get("languages") or {}
    shown = [f"{language} ({count(documents)})" for language, documents in list(found.items())[:6]]
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    short = "; und is text too short to identify" if any(name.startswith("und") for name in found) else ""
    return p(f"Languages before any rule: {', '.join(shown)}{more}{short}.", class_="note") if shown else None


def _dropped(run: Run) -> Iterable[Html]:
    counts: Mapping[str, int] = run.figures("curate")["dropped"]
    yield h3("What was dropped, and why")
    if not counts:
        yield p("Nothing.")
        return
    most = max(counts.values())
    rows = [(code(rule), meaning(rule, run), bar(gone / most, "b"), count(gone)) for rule, gone in counts.items()]
    yield table(["rule", "drops a document that is, or has", BAR, number("dropped")], rows)
    shown = {rule: chosen for rule, chosen in run.dropped.items() if chosen}
    if shown:
        yield p("A few of each, to judge the rule by:", class_="note")
    for rule, chosen in shown.items():
        title = join([code(rule), f" {len(chosen)} of {counts[rule]:,}"])
        yield details(title, *(_sample(one, run) for one in chosen))


def _sample(one: LedgerEntry, run: Run) -> Html:
    parts = [tag("strong", shortened(one.title or one.origin))]
    if one.title and one.origin and one.origin != one.title:
        parts.append(tag("span", one.origin))
    if one.value is not None and one.threshold is not None:
        parts.append(tag("span", f"measured {_plain(one.value)}, threshold {_plain(one.threshold)}"))
    if one.duplicate_of in run.kept.named:
        parts.append(join(["kept instead: ", tag("strong", shortened(run.kept.named[one.duplicate_of].title))]))
    return tag("article", p(join(parts, between=" · ")), excerpt(one.excerpt) if one.excerpt else None, class_="sample")


def _plain(number: float) -> str:
    return decimal(number, 0) if number == int(number) else decimal(number, 3)


def _heldout(run: Run) -> Iterable[Html]:
    yield h3(term("held-out set", "Held-out documents"))
    heldout, total = run.figure("curate", "heldout_documents") or 0, run.figure("curate", "documents") or 0
    if not heldout:
        yield p("There are none, so nothing below is measured on text that the model has not read.")
        return
    fraction = f"{percent(heldout / max(1, total))}, {size(run.figure('curate', 'heldout_bytes'))}"
    yield p(
        f"{counted(heldout, 'document')} ({fraction}), chosen by the hash of their text, are used by no training; as "
        "near-duplicates are gone, none of them is kept in other words either."
    )
    yield listed((shortened(title) for title in run.kept.heldout), class_="chips")
