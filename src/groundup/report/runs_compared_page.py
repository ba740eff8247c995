"""The page of a comparison, in the report's style: what was changed first, then what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import groundup
from groundup.blueprint.dump import yaml
from groundup.blueprint.load import Leaf
from groundup.evaluation.checker import Interval
from groundup.report.markup import Html, code, details, figure, h3, join, number, p, side_by_side, table, tag, term
from groundup.report.page import brand, document
from groundup.report.plots import Curve, curves, thinned
from groundup.report.run import NAMES
from groundup.report.runs_compared import METRICS, ComparedRuns, ComparedScore, Difference
from groundup.report.wording import SPACE, decimal, duration, listed, percent, points, shortened, size

MARKS = "abc"  # colours of curves
ABSENT = tag("span", "not set", class_="quiet")
TITLES = {"report": "Report", **NAMES}


def comparison_page(found: ComparedRuns) -> Html:
    """The whole page; a section without content is omitted."""
    title = listed(found.names)
    about = (
        f"What {listed(found.names[1:])} changed against {found.names[0]}, and what came of it. Differences are less "
        f"the first run; brackets hold 95{SPACE}% intervals."
    )
    sections = [
        ("blueprints", "Blueprints", _blueprints(found)),
        ("scores", "Scores", _scores(found)),
        ("curves", "Curves", _curves(found)),
        ("cost", "Cost", _cost(found)),
        ("samples", "Samples", _samples(found)),
    ]
    header = tag("header", brand(), tag("h1", title), p(about, class_="lead"))
    footer = p(f"Made by groundup {groundup.__version__} from the runs' artifacts alone.")
    return document(title, header, [(name, head, body) for name, head, body in sections if body is not None], footer)


def _blueprints(found: ComparedRuns) -> Html:
    written = [one for one in found.blueprint if not one.derived]
    derived = [one for one in found.blueprint if one.derived]
    if not found.blueprint:
        return p("The blueprints have the same values: what differs between the runs is their documents, or chance.")
    return join(
        [
            _values(found, written) if written else p("No value that a person wrote differs."),
            details(f"What follows from these ({len(derived)})", _values(found, derived)) if derived else None,
        ]
    )


def _values(found: ComparedRuns, of: Sequence[Difference]) -> Html:
    rows = [(code(one.path), *(_value(value) for value in one.values)) for one in of]
    return table(["value", *found.names], rows)


def _value(value: Leaf) -> Html:
    return ABSENT if value is None else code(shortened(yaml(value)))


def _scores(found: ComparedRuns) -> Html | None:
    if not found.scores:
        return None
    columns: list[Any] = ["score", "model", *(number(name) for name in found.names)]
    columns += [number(f"{name} less {found.names[0]}") for name in found.names[1:]]
    rows = [
        (
            one.what,
            {"last": "last"}.get(one.model, NAMES.get(one.model, one.model)),
            *(shown_score(one, value) for value in one.values),
            *(shown_difference(one, index) for index in range(len(found.names) - 1)),
        )
        for one in found.scores
    ]
    note = (
        "Runs that asked the same questions are compared question by question; otherwise each set is drawn on its own. "
    )
    return join([table(columns, rows), p(note, "Intervals: ", term("bootstrap"), " over subjects.", class_="note")])


def shown_score(score: ComparedScore, value: float | None) -> str:
    """`81.3 %`, or bits with three digits."""
    return decimal(value, 3) if score.what == "bits per byte" else percent(value)


def shown_difference(score: ComparedScore, other: int) -> str:
    """`+1.3 [-0.4, 2.9]` in points of a hundred, or a difference of bits; `other` counts from the second run."""
    between = score.differences[other]
    first, value = score.values[0], score.values[other + 1]
    if between is None:
        return decimal(value - first, 3) if value is not None and first is not None else decimal(None)
    return f"{points(between.mean)} [{points(between.low)}, {points(between.high)}]{clear(between)}"


def clear(between: Interval) -> str:
    """A star where 0 is outside the interval."""
    return " *" if between.low > 0 or between.high < 0 else ""


def _curves(found: ComparedRuns) -> Html | None:
    drawn = []
    for stage, metrics in METRICS.items():
        for key, title, unit in metrics:
            lines = found.curves.get(stage, {}).get(key)
            if lines is None:
                continue
            each = [
                thinned(Curve(name, [x for x, _ in line], [y for _, y in line], MARKS[index % len(MARKS)]))
                for index, (name, line) in enumerate(zip(found.names, lines, strict=True))
                if line
            ]
            words = f"{title} of {listed(found.names)}."
            drawn.append(figure(title, curves(f"compared-{stage}-{key.replace('_', '-')}", words, each, y_label=unit)))
    return side_by_side(*drawn) if drawn else None


def _cost(found: ComparedRuns) -> Html:
    rows = []
    for stage, each in found.cost.items():
        cells = [(duration(one[0]), size(one[1])) if one else (decimal(None), decimal(None)) for one in each]
        rows.append((TITLES.get(stage, stage), *(cell for pair in cells for cell in pair)))
    rows.append(("In all", *(cell for seconds, most in found.totals for cell in (duration(seconds), size(most)))))
    columns = [number(what) for name in found.names for what in (f"{name}: time", "peak memory")]
    return table(["stage", *columns], rows, class_="totals")


def _samples(found: ComparedRuns) -> Html | None:
    if not found.samples:
        return None
    cards = []
    for one in found.samples:
        cells = [tag("div", tag("dt", "the documents"), tag("dd", one["truth"], dir="auto"), class_="truth")]
        for name, answer in zip(found.names, one["answers"], strict=True):
            cells.append(tag("div", tag("dt", name), tag("dd", answer.strip() or tag("em", "nothing"), dir="auto")))
        asked = tag("small", f"{one['set']} questions")
        cards.append(tag("article", tag("h4", one["question"], asked, dir="auto"), tag("dl", *cells), class_="answers"))
    return join([h3("Answers of the last model of each run"), *cards])
