"""Every reason by which curation drops or changes a document is in the registry, and nothing else is."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import groundup.corpus
from groundup.corpus.filters.configuration import LinesConfig
from groundup.corpus.filters.lines import REASONS
from groundup.corpus.filters.rules import RULES as OVER_STATISTICS
from groundup.corpus.filters.urls import RULES as URLS
from groundup.corpus.redaction.configuration import KINDS
from groundup.corpus.rules import CONTAINS, RULES, Rule

ROOM = Path(groundup.corpus.__file__).parent
READERS = ("sources", "extraction")
CALLS = {"UnreadableError": 0, "Found": 3, "Dropped": 2}
"""What makes a reason, and which argument it is."""
KEYWORDS = ("timeout", "memory", "crash", "rule", "skipped")

sys.path.insert(0, str(ROOM.parents[2] / "tools"))


def _constants(node: ast.AST, tree: ast.AST) -> Iterator[str]:
    """The strings that an expression can be; those of a variable are what is assigned to it anywhere in the file."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _constants(node.body, tree)
        yield from _constants(node.orelse, tree)
    elif isinstance(node, ast.Name):
        for one in ast.walk(tree):
            if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id == node.id for t in one.targets):
                yield from _constants(one.value, tree)


def _given() -> dict[str, str]:
    """Reason -> a file of the readers that gives it."""
    found: dict[str, str] = {}
    for path in (path for room in READERS for path in (ROOM / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            arguments = [one.value for one in call.keywords if one.arg in KEYWORDS]
            if name in CALLS and len(call.args) > CALLS[name]:
                arguments.append(call.args[CALLS[name]])
            for argument in arguments:
                found |= {reason: path.name for reason in _constants(argument, tree) if reason}
    return found


def test_every_reason_of_the_readers_is_registered() -> None:
    given = _given()
    assert len(given) > 25
    assert {reason: file for reason, file in given.items() if reason not in RULES} == {}
    registered = {rule.name for rule in RULES.values() if rule.step in ("reading", "extraction")}
    assert registered - set(given) == set(), "no reader gives these"


def test_every_rule_of_the_steps_is_registered() -> None:
    from groundup.corpus.curate.decisions import RULES as DECISIONS

    expected = {
        "redaction": [f"{CONTAINS}{kind}" for kind in KINDS],
        "urls": list(URLS),
        "lines": [f"lines.{reason}" for reason in REASONS],
        "rules": list(OVER_STATISTICS),
        "contamination": ["contamination"],
        "decisions": list(DECISIONS.values()),
        "repeated": ["repeated-lines", "repeated-paragraphs"],
    }
    for step, names in expected.items():
        assert [rule.name for rule in RULES.values() if rule.step == step] == names
    assert set(REASONS) <= set(LinesConfig.model_fields)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_reads_as_a_phrase(rule: Rule) -> None:
    for words in (rule.words(), rule.words(0.5), rule.words(1000, "en")):
        assert words and words[0].islower() and words[-1] not in ".;," and "{" not in words, words
    assert ("{limit}" not in rule.meaning) or rule.unit, "a limit has a unit"


def test_the_documented_table_is_that_of_the_registry() -> None:
    from rules_table import PAGE, drawn

    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, "run `python tools/rules_table.py`"
