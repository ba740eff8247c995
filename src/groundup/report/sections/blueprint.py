"""The blueprint with its notes: what was decided, by whom, and every value."""

from __future__ import annotations

from groundup.blueprint.dump import yaml
from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, code, details, join, p, table, tag, text
from groundup.report.run import NAMES, Run
from groundup.report.wording import counted

TITLES = {"": "The whole", "report": "Report", **NAMES}


def blueprint(run: Run, config: ReportConfig) -> Html:
    """Each section's notes and decided values; the source and every value folded away."""
    loaded = run.loaded
    leaves = [(path, value) for path, value in loaded.leaves() if path.rpartition(".")[2] != "notes"]
    unused = {"ppo", "grpo", "dpo"} - {loaded.blueprint.align}
    notes: dict[str, list[tuple[str, str]]] = {}
    for where, note in loaded.notes():
        notes.setdefault(where.partition(".")[0], []).append((where, note))
    decided: dict[str, list[tuple[str, str, str]]] = {}
    for path, value in leaves:
        section, _, key = path.rpartition(".") if "." not in path else path.partition(".")
        if section not in unused and (origin := _origin(run, path)) != "default":
            decided.setdefault(section, []).append((key, yaml(value), origin))
    sections = dict.fromkeys([*decided, *notes])
    parts = [_section(name, notes.get(name, []), decided.get(name, [])) for name in sorted(sections, key=_order)]
    everything = [
        (code(path), code(yaml(value)), tag("span", _origin(run, path), class_="quiet")) for path, value in leaves
    ]
    return join(
        [
            p("What the blueprint sets, and what follows from its ", code("size"), "; all else is at its default."),
            tag("div", *parts, class_="blueprint"),
            details(
                f"Every value and where it came from ({counted(len(everything), 'value')})",
                table(["value", "is", "from"], everything, class_="values"),
            ),
            details("The file as it was written", tag("pre", loaded.text, class_="source")),
        ]
    )


def _order(section: str) -> int:
    return list(TITLES).index(section) if section in TITLES else len(TITLES)


def _origin(run: Run, path: str) -> str:
    """`line 12`, `--set`, `default`, or the rule that derived it."""
    origin = run.loaded.origin(path)
    file, _, line = origin.rpartition(":")
    return f"line {line}" if file == run.loaded.path.name and line.isdecimal() else origin


def _hint(origin: str) -> str:
    """Where a value comes from in a word or two; empty for those that are in the file."""
    if origin.startswith("size "):
        return f"from {origin.partition(':')[0]}"
    return "" if origin.startswith("line ") else origin


def _section(name: str, notes: list[tuple[str, str]], decided: list[tuple[str, str, str]]) -> Html:
    asides = [
        tag(
            "blockquote",
            tag("cite", where.partition(".")[2]) if "." in where else None,
            *(p(paragraph) for paragraph in note.strip().split("\n\n")),
        )
        for where, note in notes
    ]
    rows = [
        tag("div", tag("dt", _breakable(key)), tag("dd", code(value), tag("small", _hint(origin))))
        for key, value, origin in decided
    ]
    values = tag("dl", *rows, class_="decided") if rows else None
    return tag("section", tag("h3", TITLES.get(name, name)), *asides, values)


def _breakable(key: str) -> Html:
    """A key that may be broken after its dots and underscores."""
    return Html(text(key).replace(".", ".<wbr>").replace("_", "_<wbr>"))
