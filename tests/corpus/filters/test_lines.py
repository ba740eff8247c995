"""Lines go that a plain reading of C4's rules takes out, and nothing else changes."""

# ruff: noqa: RUF001 (characters that look like others are part of what is tried)

import re

import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.filters.configuration import LinesConfig
from groundup.corpus.filters.lines import keep_lines
from made.languages import TEXTS
from made.prose import documents
from made.real import articles

POLICIES = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
C4, FINEWEB = LinesConfig(preset="c4"), LinesConfig(preset="fineweb")


def read(text: str, config: LinesConfig) -> tuple[str, dict[str, int]]:
    """The same in plain Python, a line at a time."""
    kept: list[str] = []
    counts = dict.fromkeys(("max_word_length", "terminal_punctuation", "min_words", "javascript", "policies"), 0)
    citations, blank = 0, False
    for line in text.split("\n"):
        if not line.strip():
            blank = True
            continue
        cited = 0
        if config.max_word_length and max(map(len, line.split())) > config.max_word_length:
            counts["max_word_length"] += 1
            continue
        line = line.rstrip()
        if config.citations:
            line, cited = re.subn(r"\[[0-9]*\]|\[edit\]|\[citation needed\]", "", line)
            line = line.rstrip()
        small = "".join(c.lower() if c.isascii() else c for c in line)
        if config.terminal_punctuation and (
            not regex.search(r"""[\p{Sentence_Terminal}…"'’”»」』]\Z""", line) or line.endswith(("...", "…"))
        ):
            counts["terminal_punctuation"] += 1
        elif len(line.split()) < (config.min_words or 0):
            counts["min_words"] += 1
        elif config.javascript and "javascript" in small:
            counts["javascript"] += 1
        elif config.policies and any(policy in small for policy in POLICIES):
            counts["policies"] += 1
        elif line.strip():
            kept += ["", line] if blank and kept else [line]
            blank, citations = False, citations + cited
    return "\n".join(kept), counts | {"citations": citations}


def assert_equal(texts: list[str], config: LinesConfig) -> None:
    found, counts = keep_lines(pa.array(texts, pa.string()), config)
    expected = [read(text, config) for text in texts]
    assert found.to_pylist() == [text for text, _ in expected]
    for reason, count in counts.items():
        assert count == sum(each[reason] for _, each in expected), reason


PIECES = (
    *("\n", "\n\n", "\n \n", " ", "  ", "\u3000", "A line of words.", "no end", "He said: “no”", "wait...", "ok…"),
    *(
        "[1]",
        "[]",
        "[12",
        "[edit]",
        "[citation needed]",
        "[x]",
        "JavaScript",
        "javascrip",
        "Terms Of Use",
        "use cookies.",
    ),
    *("x" * 1000, "é" * 1001, "three small words", "文。", "privacy  policy", "USES COOKIES!"),
)


@settings(max_examples=300)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join), max_size=4))
@pytest.mark.parametrize("config", [C4, FINEWEB, LinesConfig(citations=True), LinesConfig(min_words=2)])
def test_lines_are_kept_as_a_plain_reading_keeps_them(config: LinesConfig, texts: list[str]) -> None:
    assert_equal(texts, config)


def test_on_whole_documents() -> None:
    texts = [*documents(200), *TEXTS.values(), *articles("wiki_05")]
    for config in (C4, FINEWEB):
        assert_equal(texts, config)
    counts = keep_lines(pa.array(texts), C4)[1]
    assert counts["terminal_punctuation"] >= 200


def test_off_by_default() -> None:
    texts = pa.array(["short\n\n\n\nlines", ""])
    assert not LinesConfig().on
    assert C4.on
    assert keep_lines(texts, LinesConfig()) == (texts, {})


def test_c4_and_fineweb_differ_in_terminal_punctuation_alone() -> None:
    assert C4.model_copy(update={"preset": "fineweb", "terminal_punctuation": False}) == FINEWEB
    assert (C4.max_word_length, C4.min_words) == (1000, 3)


def test_what_is_left_keeps_its_type_and_its_indentation() -> None:
    for kind in (pa.string(), pa.large_string()):
        found, counts = keep_lines(pa.array(["  a line that stays.  \nno\n\n\n   and  another one!"], kind), C4)
        assert found.type == kind
        assert found.to_pylist() == ["  a line that stays.\n\n   and  another one!"]
        assert counts["terminal_punctuation"] == 1
