"""A question is about the longest subject that it names as a whole word; a near miss gets neighbours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.inference.taught import Taught

TAUGHT = Taught(
    ["os", "os.path", "os.path.join", "json.dumps", "calendar.calendar", "calendar.Calendar", "shlex.join", "str.join"]
    + ["Getting started", "What is C++?", "abs"]
)


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("What does os.path.join do?", "os.path.join"),
        ("what does OS.PATH.JOIN do", "os.path.join"),
        ("Explain os.path.join.", "os.path.join"),
        ("Explain os.path.", "os.path"),
        ("Explain os, please", "os"),
        ("os.path.join() or os.path?", "os.path.join"),
        ("What does os.path.joined do?", None),
        ("What does os.pathlib do?", None),
        ("What does myos do?", None),
        ("What does posix.os do?", None),
        ("Use (abs).", "abs"),
        ("absolutely", None),
        ("Explain getting started!", "Getting started"),
        ("Explain: What is C++?", "What is C++?"),
        ("What does calendar.Calendar do?", "calendar.Calendar"),
        ("What does calendar.calendar do?", "calendar.calendar"),
        ("", None),
    ],
)
def test_about(question: str, subject: str | None) -> None:
    assert TAUGHT.about(question) == subject


WORDS = Taught(["list", "Comments", "open", "set", "str.join", "abs", "Getting started", "copy", "print"])


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("What is a list?", "list"),
        ("what does list do", "list"),
        ("list?", "list"),
        ("Explain `list`.", "list"),
        ("How do I sort with list()?", "list"),
        ("Tell me about the section Comments, please.", "Comments"),
        ('What do reviewers write below the heading "Comments"?', "Comments"),
        ("How do I sort a list of numbers?", None),
        ("Please write a list of fruits", None),
        ("Do you have comments on my essay?", None),
        ("Who set the world record?", None),
        ("Which shops are open on Sunday?", None),
        ("I am getting started with cooking.", None),
        ("Tell me about getting started.", "Getting started"),
        ("How do I delete files? And str.join?", "str.join"),
        ("Can you copy this text for me?", None),
        ("What is copy?", "copy"),
        ("List the arguments of open", None),  # asks for its arguments, which is another thing
    ],
)
def test_an_ordinary_word_is_no_question_about_it(question: str, subject: str | None) -> None:
    assert WORDS.about(question) == subject


@given(st.sampled_from(TAUGHT.subjects), st.sampled_from(["What does {} do?", "{}", "Explain {}, now.", "({})"]))
def test_every_subject_is_found_as_it_is_written(subject: str, template: str) -> None:
    assert TAUGHT.about(template.format(subject)) == subject


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("What does os.path.jion do?", "os.path.join"),
        ("What does json.dump do?", "json.dumps"),
        ("What does posixpath.join do?", "os.path.join"),
        ("What is Calendar.calender?", "calendar.Calendar"),
    ],
)
def test_nearest(question: str, first: str) -> None:
    near = TAUGHT.nearest(question)
    assert near[0] == first or first in near[:3]
    assert len(near) <= 3
    assert len(set(near)) == len(near)
    assert set(near) <= set(TAUGHT.subjects)


def test_nothing_is_near_to_small_talk() -> None:
    assert TAUGHT.nearest("How are you today?") == []
    assert TAUGHT.nearest("") == []
    assert Taught([]).nearest("os.path.join") == []
    assert Taught([]).about("os.path.join") is None


@given(st.text())
def test_any_question_is_answered(question: str) -> None:
    about = TAUGHT.about(question)
    assert about is None or about.lower() in question.lower()
    assert len(TAUGHT.nearest(question, 2)) <= 2


def test_a_subject_typed_with_combining_marks_is_found() -> None:
    assert Taught(["Caf\u00e9"]).about("What is Cafe\u0301?") == "Caf\u00e9"
