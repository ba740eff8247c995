"""The table of letters, numbers and white space is that of the installed `regex`."""

import unicodedata

import numpy as np
import pytest
import regex

from groundup.tokenizer import characters
from groundup.tokenizer.character_ranges import LETTERS, NUMBERS
from groundup.tokenizer.characters import CODE_POINTS, LETTER, NUMBER, SPACE, character_classes, ranges_of

# A library with a younger Unicode has more letters; those that Python's own table knows are letters to all.
ASSIGNED = np.array([unicodedata.category(chr(code)) != "Cn" for code in range(CODE_POINTS)])
EVERYTHING = "".join(map(chr, range(CODE_POINTS)))


@pytest.mark.parametrize(("kind", "pattern"), [(LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"[^\S\r\n]")])
def test_classes_are_those_of_regex(kind: int, pattern: str) -> None:
    theirs = np.zeros(CODE_POINTS, dtype=bool)
    theirs[[match.start() for match in regex.finditer(pattern, EVERYTHING)]] = True
    assert np.array_equal((character_classes() == kind)[ASSIGNED], theirs[ASSIGNED])
    assert theirs[ASSIGNED].any()


def test_the_generator_writes_such_ranges() -> None:
    for ranges, category in ((LETTERS, "L"), (NUMBERS, "N")):
        codes, at = np.zeros(CODE_POINTS, dtype=bool), 0
        generated = ranges_of(category)
        for gap, length in zip(generated[::2], generated[1::2], strict=True):
            codes[at + gap : at + gap + length] = True
            at += gap + length
        kind = LETTER if ranges is LETTERS else NUMBER
        assert np.array_equal(codes[ASSIGNED], (character_classes() == kind)[ASSIGNED])


def test_regenerated_file_is_the_same_text(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "ranges_of", lambda category: list(LETTERS if category == "L" else NUMBERS))
    path = tmp_path / "character_ranges.py"
    characters.write_ranges(path)
    namespace: dict = {}
    exec(path.read_text(encoding="utf-8"), namespace)
    assert (namespace["LETTERS"], namespace["NUMBERS"]) == (LETTERS, NUMBERS)
