"""The script that most letters of a text are in: it says which languages a text is not in, however short it is.

    "3월 5일 회의록"   ->  Kore: Korean, and nothing else
    "Всё хорошо."     ->  Cyrl: Russian, Ukrainian, Serbian, ..., and not English

Scripts have their names of ISO 15924. Latin letters, and those of no script in the table, say nothing: nearly every
language is also written in Latin ones.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters import characters
from groundup.corpus.filters.scan import code_point
from groundup.kernels.arrow import Bytes, Offsets
from groundup.kernels.compilation import kernel

# A script, the languages written in it, and the blocks of code points where its letters are.
_TABLE = """
Grek | el                                                       | 370-3e1 3f0-3ff 1f00-1fff
Cyrl | ab av az ba be bg ce cu cv kk ky kv mk mn os ru sr tg tk tt uk uz | 400-52f 1c80-1c8f 2de0-2dff a640-a69f
Armn | hy                                                       | 530-58f fb13-fb17
Hebr | he yi                                                    | 590-5ff fb1d-fb4f
Arab | ar az fa ha kk ks ku ky ms pa ps sd tk ug ur uz          | 600-6ff 750-77f 870-8ff fb50-fdff fe70-feff
Thaa | dv                                                       | 780-7bf
Deva | hi ks mr ne pi sa sd                                     | 900-97f a8e0-a8ff
Beng | as bn                                                    | 980-9ff
Guru | pa                                                       | a00-a7f
Gujr | gu                                                       | a80-aff
Orya | or                                                       | b00-b7f
Taml | ta                                                       | b80-bff
Telu | te                                                       | c00-c7f
Knda | kn                                                       | c80-cff
Mlym | ml                                                       | d00-d7f
Sinh | si                                                       | d80-dff
Thai | th                                                       | e00-e7f
Laoo | lo                                                       | e80-eff
Tibt | bo dz                                                    | f00-fff
Mymr | my                                                       | 1000-109f a9e0-a9fe aa60-aa7f
Geor | ka                                                       | 10a0-10ff 1c90-1cbf 2d00-2d2f
Ethi | am ti                                                    | 1200-139f 2d80-2ddf ab00-ab2f
Cans | cr iu oj                                                 | 1400-167f 18b0-18ff
Khmr | km                                                       | 1780-17ff
Mong | mn                                                       | 1800-18aa
Yiii | ii                                                       | a000-a4cf
Hani | ja ko zh                                                 | 3005-3007 3400-4dbf 4e00-9fff f900-faff 20000-323af
Jpan | ja                                                       | 3041-30ff 31f0-31ff ff66-ff9f 1b000-1b16f
Kore | ko                                                       | 1100-11ff 3131-318f a960-a97f ac00-d7ff ffa0-ffdc
"""
_LOOKED_AT = 8000  # bytes: as many characters as the words of a text are looked for in
_FIRST = np.uint8(0xCD)  # the lowest byte with which a letter of these scripts begins
_SIGNS = np.uint8(0xE2)  # with which quotes, dashes and other signs begin, and no letter that is used today
_MIXED = 0.1  # fraction of the letters of East Asia from which kana, or Hangul, say the script


class _Scripts(NamedTuple):
    names: tuple[str, ...]  # the first is empty: any other letter
    languages: dict[str, frozenset[str]]
    blocks: tuple[tuple[int, int, int], ...]  # first, last, number of the script


def _read() -> _Scripts:
    names = [""]
    languages: dict[str, frozenset[str]] = {}
    blocks: list[tuple[int, int, int]] = []
    for line in _TABLE.strip().splitlines():
        name, spoken, ranges = (part.strip() for part in line.split("|"))
        languages[name] = frozenset(spoken.split())
        for block in ranges.split():
            first, _, last = block.partition("-")
            blocks.append((int(first, 16), int(last, 16), len(names)))
        names.append(name)
    return _Scripts(tuple(names), languages, tuple(blocks))


_SCRIPTS = _read()
_HAN, _KANA, _HANGUL = (_SCRIPTS.names.index(name) for name in ("Hani", "Jpan", "Kore"))  # the last three


def written_in(language: str, script: str) -> bool:
    """Whether a language may be written in a script of the table; true of languages with a code of three letters."""
    return len(language) != 2 or language in _SCRIPTS.languages[script]


def scripts_of(data: Bytes, offsets: Offsets) -> tuple[list[str], NDArray[np.float64]]:
    """`(script, fraction)` of each text: the script of more than half of its letters; empty where it is none of these.

    A letter of East Asia counts as two: it is a syllable or more.

    Args:
        data: texts in UTF-8.
        offsets: [texts + 1] where each starts, and the last one's end.
    """
    counts = _counted(data, offsets, characters.classes(), _numbers(), len(_SCRIPTS.names))
    counts[:, _HAN:] *= 2
    total, asian = counts.sum(axis=1), counts[:, _HAN:].sum(axis=1)
    korean = counts[:, _HANGUL] > counts[:, _KANA]
    for script, mine in ((_KANA, ~korean), (_HANGUL, korean)):
        has = mine & (counts[:, script] >= _MIXED * asian) & (asian > 0)
        counts[has, _HAN:] = 0
        counts[has, script] = asian[has]
    most = counts.argmax(axis=1)
    fractions = counts[np.arange(len(counts)), most] / np.maximum(1, total)
    known = (most > 0) & (fractions > 0.5)
    names = [_SCRIPTS.names[script] if one else "" for script, one in zip(most.tolist(), known.tolist(), strict=True)]
    return names, np.where(known, fractions, 0.0)


@cache
def _numbers() -> NDArray[np.uint8]:
    """[0x110000] the number of each code point's script; 0 for all others."""
    table = np.zeros(0x110000, dtype=np.uint8)
    for first, last, number in _SCRIPTS.blocks:
        table[first : last + 1] = number
    return table


@kernel
def _counted(
    data: Bytes, offsets: Offsets, classes: NDArray[np.uint8], numbers: NDArray[np.uint8], scripts: int
) -> NDArray[np.int64]:
    """[texts, scripts] how many letters of each script are in the beginning of each text; 0 where most are Latin."""
    texts = len(offsets) - 1
    counts = np.zeros((texts, scripts), dtype=np.int64)
    for text in range(texts):
        at, end = offsets[text], min(offsets[text + 1], offsets[text] + _LOOKED_AT)
        most = letters = 0
        for one in range(at, end):
            most += (data[one] >= _FIRST) & (data[one] != _SIGNS)
            letters += (data[one] | np.uint8(32)) - np.uint8(97) < 26
        if 2 * most <= letters:  # twice, since those of East Asia are
            continue
        while at < end:
            byte = data[at]
            if byte < 128:
                counts[text, 0] += 97 <= byte | np.uint8(32) <= 122
                at += 1
            else:
                code, size = code_point(data, at)
                if classes[code] & characters.LETTER:
                    counts[text, numbers[code]] += 1
                at += size
    return counts
