"""What is taught: subjects in the requested order, with distinct answers, in disjoint sets of phrasings."""

import string
from itertools import combinations
from pathlib import Path

import pytest

from groundup.alignment.data.questions import MAIN_ASPECTS, PHRASINGS, Item, choose, items_of, read_items, write_items
from groundup.corpus.documents import Document, Fact
from groundup.errors import GroundupError

SETS = ("sft", "rl", "evaluate")


def squeezed(question: str) -> str:
    """A question but for case, punctuation and white space."""
    return "".join(letter for letter in question.lower() if letter not in string.punctuation + string.whitespace)


def test_no_two_sets_of_phrasings_share_one() -> None:
    """Not in one aspect, not across aspects, and not but for punctuation either."""
    by_set = {name: {squeezed(template) for aspect in PHRASINGS.values() for template in aspect[name]} for name in SETS}
    assert all(by_set.values())
    for first, second in combinations(SETS, 2):
        assert not by_set[first] & by_set[second]
    for aspect in PHRASINGS.values():
        assert set(aspect) == set(SETS)
        templates = [template for name in SETS for template in aspect[name]]
        assert len(set(templates)) == len(templates)
        assert all(template.count("{subject}") == 1 for template in templates)


def test_questions_name_the_subject_verbatim() -> None:
    """Braces in a heading are not filled in."""
    item = Item("a {b} %s {0}", "section", "An answer.", "d")
    for name in SETS:
        assert all("a {b} %s {0}" in question for question in item.questions(name))


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
