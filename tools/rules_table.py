"""Draws the table of rules in docs/filters.md from the registry: `python tools/rules_table.py`."""

from pathlib import Path

from groundup.corpus.rules import RULES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "filters.md"
START, END = "<!-- rules: drawn by tools/rules_table.py -->\n", "<!-- end of rules -->\n"


def table() -> str:
    """A row for each rule, in Markdown."""
    rows = [
        f"| `{rule.name}` | {rule.step} | {'takes out ' if rule.changes else ''}{rule.words()} | {rule.unit} |\n"
        for rule in RULES.values()
    ]
    return "| rule | step | a document that is, or has | measured in |\n|---|---|---|---|\n" + "".join(rows)


def drawn(page: str) -> str:
    """`page` with the table between its marks."""
    before, rest = page.split(START)
    return f"{before}{START}{table()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
