"""What was read, what was kept, and what each rule dropped, with samples to judge the rule by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from groundup.corpus.documents import Dropped
from groundup.report.configuration import ReportConfig
from groundup.report.markup import BAR, Html, bar, code, details, excerpt, h3, join, listed, number, p, table, tag
from groundup.report.run import Run
from groundup.report.wording import count, counted, decimal, percent, shortened, size

# rule -> what is wrong with a document that breaks it; {limit} is the threshold.
RULES = {
    "language": "in another language than {language}, told with a confidence of {limit} or more",
    "min_words": "fewer than {limit} words",
    "max_words": "more than {limit} words",
    "min_mean_word_length": "words shorter than {limit} characters on average",
    "max_mean_word_length": "words longer than {limit} characters on average",
    "min_alphabetic_words": "less than {limit} of its words hold a letter",
    "max_symbols_per_word": "more than {limit} hashes and ellipses per word",
    "max_duplicate_lines": "more than {limit} of its lines stand in it twice",
    "max_top_trigram": "more than {limit} of its characters are one phrase of three words",
    "exact-duplicate": "the same text as another document",
    "near-duplicate": "{limit} alike or more to a document that is kept (Jaccard)",
    "too-large": "larger than {limit} MB",
    "not-importable": "its module can't be imported on this machine",
    "bad-python": "its source is no valid Python",
    "bad-json": "a row that is no JSON object",
    "no-text": "a page without text of its own",
    "binary": "not a text file",
    "invalid-utf-8": "text that is not UTF-8",
    "truncated": "a compressed file that ends too early",
    "corrupt": "a damaged file",
    "unreadable": "a file that can't be read",
}
STEPS = {
    "found": "found in the sources",
    "read": "that could be read",
    "rules": "that pass every rule",
    "exact duplicates": "without exact duplicates",
    "near-duplicates": "without near-duplicates: kept",
}
MOST_ORIGINS = 15  # sources and licences named, the rest is summed up


def documents(run: Run, config: ReportConfig) -> Html | None:
    """The funnel, the sources, what was dropped, what is held out."""
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
            *_heldout(run),
        ]
    )


def _funnel(funnel: Sequence[Mapping[str, Any]]) -> Html:
    first = max(1, funnel[0]["documents"])
    lost = [None, *(before["documents"] - after["documents"] for before, after in pairwise(funnel))]
    rows = [
        (
            STEPS.get(step["step"], step["step"]),
            bar(step["documents"] / first),
            count(step["documents"]),
            count(gone) if gone else None,
            size(step["bytes"]),
        )
        for step, gone in zip(funnel, lost, strict=True)
    ]
    kept = funnel[-1]["documents"]
    return join(
        [
            p(f"Of {counted(first, 'document')} that were found, {kept:,} are kept ({percent(kept / first)})."),
            table(["", BAR, number("documents"), number("dropped"), number("text")], rows),
        ]
    )


def _sources(run: Run) -> Html:
    """Per source and licence: documents and their share."""
    total = max(1, run.kept.by_origin.total())
    ordered = sorted(run.kept.by_origin.items(), key=lambda one: (-one[1], one[0]))
    rows = [
        (source, licence or "not stated", bar(kept / total), count(kept))
        for (source, licence), kept in ordered[:MOST_ORIGINS]
    ]
    if rest := ordered[MOST_ORIGINS:]:
        kept = sum(number for _, number in rest)
        rows.append((f"{len(rest)} more", "", bar(kept / total), count(kept)))
    return table(["source", "licence", BAR, number("documents")], rows)


def _languages(figures: Mapping[str, Any]) -> Html | None:
    found = figures.get("languages") or {}
    shown = [f"{language} ({count(documents)})" for language, documents in list(found.items())[:6]]
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    short = "; und is text too short to tell" if "und" in found else ""
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


def meaning(rule: str, run: Run) -> str:
    """The rule in words, with its threshold."""
    config = run.loaded.blueprint.curate
    limits = config.rules.model_dump() | {
        "language": config.rules.language_confidence,
        "near-duplicate": config.near_duplicates.threshold,
        "too-large": config.max_document_mb,
    }
    limit = limits.get(rule)
    told = "" if limit is None else count(limit) if limit == int(limit) else f"{limit:g}"
    return RULES.get(rule, "").format(limit=told, language=config.rules.language)


def _sample(one: Dropped, run: Run) -> Html:
    told = [tag("strong", shortened(one.title or one.origin))]
    if one.title and one.origin and one.origin != one.title:
        told.append(tag("span", one.origin))
    if one.value is not None and one.threshold is not None:
        told.append(tag("span", f"measured {_plain(one.value)}, threshold {_plain(one.threshold)}"))
    if one.duplicate_of in run.kept.named:
        told.append(join(["kept instead: ", tag("strong", shortened(run.kept.named[one.duplicate_of].title))]))
    return tag("article", p(join(told, between=" · ")), excerpt(one.excerpt) if one.excerpt else None, class_="sample")


def _plain(number: float) -> str:
    return decimal(number, 0) if number == int(number) else decimal(number, 3)


def _heldout(run: Run) -> Iterable[Html]:
    yield h3("Held out")
    held, total = run.figure("curate", "heldout_documents") or 0, run.figure("curate", "documents") or 0
    if not held:
        yield p("No document is held out, so nothing below is measured on text that the model has not read.")
        return
    share = f"{percent(held / max(1, total))}, {size(run.figure('curate', 'heldout_bytes'))}"
    yield p(
        f"{counted(held, 'document')} ({share}), chosen by the hash of their text, are read by no training; as "
        "near-duplicates are gone, none of them is kept in other words either."
    )
    yield listed((shortened(title) for title in run.kept.heldout), class_="chips")
