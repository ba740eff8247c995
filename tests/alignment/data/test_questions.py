"""What is taught: subjects in the requested order, with distinct answers that say something."""

from pathlib import Path

import pytest

from groundup.alignment.data.questions import MAIN_ASPECTS, Item, choose, items_of, read_items, write_items
from groundup.corpus.documents import Document, Fact
from groundup.errors import GroundupError

DOCUMENTS = [
    Document(
        id="d1",
        facts=(Fact("os.path.join", "summary", "Join two paths."), Fact("os.path.join", "parameters", "a, *p")),
    ),
    Document(
        id="d2",
        facts=(Fact("os.path.join", "summary", "Otherwise."), Fact("abs", "summary", "Return the absolute value.")),
    ),
    Document(id="d3", facts=(Fact("json.dumps", "summary", "Join two paths."), Fact("json.dumps", "parameters", ""))),
    Document(id="d4", facts=(Fact("Setup", "section", "Install it first of all."), Fact("os", "summary", "Short"))),
]


def test_the_first_document_to_speak_is_believed() -> None:
    items = items_of(DOCUMENTS)
    assert Item("os.path.join", "summary", "Join two paths.", "d1") in items
    assert sum(item.subject == "os.path.join" for item in items) == 2
    assert all(item.answer for item in items)


def test_what_is_chosen() -> None:
    items = choose(items_of(DOCUMENTS), 10, (), 100)
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    # Shallow names first; `os` has too short an answer, and json.dumps is deeper than nobody but shares no answer.
    assert [item.subject for item in main] == ["Setup", "abs", "json.dumps"]
    assert {(item.subject, item.answer) for item in items if item.aspect == "which"} == {
        ("Return the absolute value.", "abs"),
        ("Join two paths.", "json.dumps"),
    }
    assert len({item.answer for item in main}) == len(main)


def test_preferred_subjects_come_first() -> None:
    items = choose(items_of(DOCUMENTS), 2, ("os.*", "A*"), 100)
    assert [item.subject for item in items if item.aspect in MAIN_ASPECTS] == ["os.path.join", "Setup"]
    assert Item("os.path.join", "parameters", "a, *p", "d1") in items
    assert not [item for item in items if "abs" in (item.subject, item.answer)]


def test_long_answers_are_skipped() -> None:
    items = choose(items_of(DOCUMENTS), 10, (), 20)
    assert [item.subject for item in items if item.aspect in MAIN_ASPECTS] == ["json.dumps"]
    with pytest.raises(GroundupError, match="no heading or symbol"):
        choose(items_of(DOCUMENTS), 10, (), 9)


def test_files_keep_items(tmp_path: Path) -> None:
    items = [Item("Größe", "section", 'a\u2028"b"\n', "d"), Item("x", "summary", "", "")]
    write_items(tmp_path / "items.jsonl", items)
    assert read_items(tmp_path / "items.jsonl") == items
