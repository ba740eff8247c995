"""The compiled normal form against a reading of its rule in plain Python."""

import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.duplicates.normal_form import MOST_GROWTH, normal, normalise, normalised


def plain(text: str, digits_alike: bool) -> str:
    """The rule, word by word as the module states it."""
    parts = []
    for character in text:
        for part in unicodedata.normalize("NFD", character.lower()):
            category = unicodedata.category(part)
            if category in ("Mn", "Cf"):
                continue
            if category == "Nd":
                parts.append("0" if digits_alike else str(unicodedata.digit(part)))
            elif category[0] in "LNM":
                parts.append(f" {part} " if alone(part) else part)
            else:
                parts.append(" ")
    return " ".join("".join(parts).split())


def alone(character: str) -> bool:
    code = ord(character)
    ranges = [(0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF)]
    ranges += [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x1B000, 0x1B16F), (0x20000, 0x323AF)]
    return any(first <= code <= last for first, last in ranges)


@pytest.mark.parametrize("digits_alike", [True, False])
def test_every_character(digits_alike: bool) -> None:
    """Each between two letters: what it becomes, and that it never grows over the room for it.

    All of the scripts, and every 23rd where there are only ideographs, private use and nothing.
    """
    scripts = [*range(0xD800), *range(0xF900, 0x20000), *range(0xE0000, 0xE0200)]
    others = [*range(0xE000, 0xF900, 23), *range(0x20000, 0xE0000, 23), *range(0xE0200, sys.maxunicode, 23)]
    characters = [chr(code) for code in [*scripts[:: 1 if digits_alike else 5], *others]]
    found = normalise(pa.array([f"a{character}b" for character in characters], pa.large_string()), digits_alike)
    for character, form in zip(characters, found.to_pylist(), strict=True):
        assert form == plain(f"a{character}b", digits_alike), hex(ord(character))
        assert len(normal(character, digits_alike).encode()) <= MOST_GROWTH * len(character.encode())


TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\t.-É0٣漢ก\u0301\u00ad")))


LONG = st.lists(st.sampled_from(["The Year 1984, ", "é", "ß.", "漢", " \n", "x" * 70, "A" * 63]), max_size=30).map(
    "".join
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS | LONG, max_size=6), st.booleans())
def test_any_text(texts: list[str], digits_alike: bool) -> None:
    forms = normalise(pa.array(texts, pa.string()), digits_alike).to_pylist()
    assert forms == [plain(text, digits_alike) for text in texts]
    assert normalise(pa.array(forms, pa.string()), digits_alike).to_pylist() == forms  # it is its own normal form


def test_examples() -> None:
    assert normalised("Naïve... co-op, 1984!", digits_alike=True) == "naive co op 0000"
    assert normalised("Naïve... co-op, 1984!") == "naive co op 1984"
    assert normalised("soft\u00adware  ΟΔΟΣ\n") == "software οδοσ"
    assert normalised("漢字とカナ") == "漢 字 と カ ナ"
    assert normalised("") == normalised(" ...\n") == ""


def test_slices_and_both_widths() -> None:
    """Arrow arrays that start in the middle of their memory."""
    texts = ["Ab", "", "É c", "d!"]
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(texts, kind)
        assert normalise(array.slice(1, 2)).to_pylist() == ["", "e c"]
        assert normalise(array.slice(4)).to_pylist() == []


def test_only_strings_without_nulls() -> None:
    with pytest.raises(ValueError, match="nulls"):
        normalise(pa.array(["a", None]))
    with pytest.raises(TypeError, match="int64"):
        normalise(pa.array([1]))
