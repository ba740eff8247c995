"""Cleaning makes text uniform, changes nothing twice, and never takes long."""

import time
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.clean import _UNUSUAL, clean, repair, squeeze
from made.languages import TEXTS
from made.real import declarations


@given(st.text(alphabet=st.characters(), max_size=200))
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\n\n\n" not in once
    assert all(line == line.rstrip() for line in once.split("\n"))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n" for c in once)
    once.encode()  # no lone surrogate is left


def test_each_thing_that_is_cleaned() -> None:
    assert clean("\ufeffa\r\nb\rc\fd\u2028e") == "a\nb\nc\nd\ne"
    assert clean("e\u0301") == "\u00e9"
    assert clean("a\x00b\x1bc\x9f") == "abc"
    assert clean("a  \t\n\n\n\n b") == "a\n\n b"
    assert clean("\ud83d") == "\ufffd"
    assert clean("\n\n  indented\n") == "  indented"
    assert clean("a\tb \u3000\nc\u00a0") == "a\tb\nc"
    assert squeeze(" a\n\t b ") == "a b"


def test_usual_characters_are_those_that_nothing_changes() -> None:
    """A text of these alone needs no cleaning but for its white space."""
    usual = "".join(one for one in map(chr, range(0x10000)) if not _UNUSUAL.match(one))
    assert len(usual) > 40_000 and not any(map(unicodedata.combining, usual))
    for text in (usual, usual[::-1], "".join(sorted(usual, key=lambda one: ord(one) * 40_503 % 65_521))):
        assert unicodedata.normalize("NFC", text) == text
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in usual if one not in "\t\n")
    assert "\ufeff" not in usual


def test_long_runs_of_spaces_take_linear_time() -> None:
    started = time.perf_counter()
    assert clean("a" + " " * 2_000_000 + "b").endswith("b")
    assert time.perf_counter() - started < 2


def test_wrong_decodings_are_repaired() -> None:
    for right in (
        "schön und groß",
        "don\u2019t \u201cstop\u201d",
        "naïve café — déjà vu",
        "привет, мир",
        "日本語の文章",
        "Größe: 5 € …",
    ):
        for wrong in ("latin-1", "cp1252"):
            try:
                broken = right.encode().decode(wrong)
            except UnicodeDecodeError:
                continue  # bytes that this set does not have
            assert repair(broken) == right
            assert repair(f"{broken}\n{right}") == f"{right}\n{right}"


def test_what_is_right_stays() -> None:
    """Real text in many languages, and neighbours that look like mojibake."""
    for text in ("CAFÉ»", "SEÑOR…", "À «Paris»", "Ünïcödé ®", "É", "été \u2013 hiver", "Ça va ?"):
        assert repair(text) == text
    for language, text in (TEXTS | declarations()).items():
        assert repair(text) == text, language
