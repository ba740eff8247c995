"""Words: those that `regex` finds with the published patterns, in any text and in any bytes."""

import pydoc_data.topics
from collections import Counter

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.tokenizer.pretokenizer import PATTERNS, PatternName, split
from groundup.tokenizer.word_counts import count_words

# Letters younger than the Unicode version of a library are no letters to it, so only assigned characters are drawn.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
PIECES = st.sampled_from(
    ["'s", "'LL", "'\u017f", "'re", "'", "don't", " ", "  ", "\t", "\n", "\r\n", " \n x", "\u00a0", "\u3000", "\u200b"]
    + [
        "\x85",
        "\x1c",
        "1",
        "12345",
        "٣",
        "Ⅷ",
        "\U0001d7d8",
        "é",
        "e\u0301",
        "漢字",
        "🙂",
        ".",
        "--",
        "_",
        "\x00",
        "A" * 9,
    ]
)
TEXTS = st.lists(PIECES | st.text(CHARACTERS, max_size=5), max_size=12).map("".join)
BYTES = st.lists(
    PIECES.map(str.encode) | st.binary(max_size=4) | st.text(CHARACTERS, max_size=3).map(lambda s: s.encode()[:-1]),
    max_size=12,
).map(b"".join)


def expected(text: bytes, name: PatternName) -> list[bytes]:
    """A byte that is no UTF-8 is a lone surrogate to `regex`: a character that is no letter, number or white space."""
    words = regex.findall(PATTERNS[name], text.decode("utf-8", "surrogateescape"))
    return [word.encode("utf-8", "surrogateescape") for word in words]


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=400, deadline=None)
@given(text=TEXTS.map(str.encode) | BYTES)
@example(text=b"")
@example(text=b"\xed\xa0\x80 \xf4\x90\x80\x80\xc0\xaf\xe0\x80\xaf\xf0\x9f\x99")
@example(text=b"  a  \n\n  b \t\n")
def test_words_equal_regex(name: PatternName, text: bytes) -> None:
    assert split(text, name) == expected(text, name)


@pytest.mark.parametrize("name", PATTERNS)
def test_real_text(name: PatternName) -> None:
    text = "\n\n".join(pydoc_data.topics.topics.values()).encode()[:300_000]
    assert split(text, name) == expected(text, name)


def test_what_is_beyond_the_text_does_not_matter() -> None:
    """Letters are looked at eight at a time, beyond the end of a text too."""
    texts = [b"ab", b"cdefghijklmnop", b"q", b"", b"rstuvwxyz 'l", b"l"]
    words = [word for text in texts for word in expected(text, "gpt2")]
    rows = count_words(texts, "gpt2").rows()
    assert dict(zip(rows.spelled(), rows.counts.tolist(), strict=True)) == Counter(words)
