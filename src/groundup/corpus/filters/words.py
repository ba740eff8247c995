"""The words of a text that language identification is shown: those made of letters, not code, names and numbers."""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters import characters
from groundup.corpus.filters.scan import code_point
from groundup.kernels.arrow import Bytes, Offsets
from groundup.kernels.compilation import Integer, helper, kernel

MAX_CHARACTERS = 1000  # more of a text changes few answers, those between sister languages
_SCANNED = 8 * MAX_CHARACTERS  # characters in which the words are looked for
_SPACE, _UNSPACED = np.uint8(characters.SPACE), np.uint8(characters.UNSPACED)
_FORM, _CASE = np.uint8(1), np.uint8(2)  # what may not be usual in a text: its normal form alone, or its case too
_FIRST_LETTER = 0xAA  # of those beyond ASCII; from there on everything counts as one


def words_of(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[np.int64]]:
    """The words of each text, with one space between them, and how many bytes they have without the spaces.

    A word is a run of letters of any script with their marks, apostrophes and hyphens, between white space, with
    brackets and quotes before it, and those and punctuation after it, which are skipped. Commas and slashes may join
    several. In scripts without spaces (`corpus/words.py`) a run with digits or signs in it is no word, but what is
    between these is. Texts are brought into the form on which languages are learnt: NFC, and small letters where most
    are capital ones.

    Args:
        data: texts in UTF-8.
        offsets: [texts + 1] where each starts, and the last one's end.

    Returns:
        `(bytes, offsets, sizes)`.
    """
    found, starts, odd = _words_of(data, offsets, characters.classes())
    if odd.any():
        parts = []
        for text in range(len(offsets) - 1):
            words = found[starts[text] : starts[text + 1]].tobytes()
            parts.append(_usual(words.decode(), odd[text] == _CASE).encode() if odd[text] else words)
        found = np.frombuffer(b"".join(parts), dtype=np.uint8)
        starts[1:] = np.cumsum([len(part) for part in parts])
    return found, starts, _without_spaces(found, starts)


def _usual(words: str, may_be_capitals: bool) -> str:
    if may_be_capitals and sum(map(str.isupper, words)) > sum(map(str.islower, words)):
        words = words.lower()
    return unicodedata.normalize("NFC", words)


@helper
def _is_before(byte: Integer) -> bool:
    return byte == 34 or byte == 40 or byte == 91  # " ( [


@helper
def _is_after(byte: Integer) -> bool:
    # " ) ] . , ; : ! ?
    return byte in (34, 41, 93, 46, 44, 59, 58, 33, 63)


@helper
def _is_letter(byte: Integer) -> bool:
    return 97 <= byte | 32 <= 122


@helper
def _joins(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether a comma or slash is here, and a word can begin after it."""
    return (data[at] == 44 or data[at] == 47) and at + 1 < end and (data[at + 1] >= 128 or _is_letter(data[at + 1]))


@helper
def _run(
    data: Bytes, at: Integer, end: Integer, room: Integer, table: NDArray[np.uint8]
) -> tuple[Integer, Integer, bool, bool]:
    """The run of at most `room` characters, none of them white space, that begins at `at`.

    Returns:
        `(its end, its characters, whether it is words, whether it has a letter that is a word of its own)`.
    """
    stop, finish, seen, count, is_word, unspaced = at, at, 0, 0, True, False
    while stop < end and seen < room:
        byte = data[stop]
        width = 1
        if byte < 128:
            if table[byte] & _SPACE:
                break
            if _is_letter(byte) or (count > 0 and (byte == 39 or byte == 45)):
                is_word = is_word and finish == stop
                count, finish = count + 1, stop + 1
            elif (count > 0 and finish == stop and _joins(data, stop, end)) or (count == 0 and _is_before(byte)):
                finish = stop + 1
            elif count == 0 or not _is_after(byte):
                is_word = False
        else:
            code, width = code_point(data, stop)
            if table[code] & _SPACE:
                break
            if finish != stop or code < _FIRST_LETTER:
                is_word = False
            unspaced = unspaced or table[code] & _UNSPACED == _UNSPACED
            count, finish = count + 1, stop + width
        stop += width
        seen += 1
    return stop, seen, is_word and count > 0, unspaced


@kernel
def _words_of(data: Bytes, offsets: Offsets, table: NDArray[np.uint8]) -> tuple[Bytes, Offsets, NDArray[np.uint8]]:
    """`words_of` before the usual form; and for each text 0, or what may not be in that form yet."""
    texts = len(offsets) - 1
    room = 0
    for text in range(texts):
        room += min(offsets[text + 1] - offsets[text] + 1, 4 * MAX_CHARACTERS + 4)
    out, starts, odd = np.empty(room, np.uint8), np.zeros(texts + 1, np.int64), np.zeros(texts, np.uint8)
    size = 0
    for text in range(texts):
        at, end = offsets[text], offsets[text + 1]
        seen = taken = small = capital = others = 0
        while at < end and seen < _SCANNED and taken < MAX_CHARACTERS:
            stop, characters, is_word, unspaced = _run(data, at, end, _SCANNED - seen, table)
            seen += characters
            inside: Integer = False  # a word
            while at < stop and (is_word or unspaced) and taken < MAX_CHARACTERS:
                byte = data[at]
                width = 1 if byte < 128 else 2 if byte < 224 else 3 if byte < 240 else 4
                # Of a run with other signs in it, what is not ASCII.
                belongs = byte >= 128 or (is_word and (_is_letter(byte) or (inside and (byte == 39 or byte == 45))))
                if belongs and not inside and taken:
                    out[size] = 32
                    size += 1
                    taken += 1
                if belongs and taken < MAX_CHARACTERS:
                    small += 97 <= byte <= 122
                    capital += 65 <= byte <= 90
                    others += byte >= 128
                    for more in range(width):
                        out[size + more] = data[at + more]
                    size, taken = size + width, taken + 1
                inside = belongs
                at += width
            at = stop
            while at < end and seen < _SCANNED:
                byte = data[at]
                width = 1
                if byte >= 128:
                    code, width = code_point(data, at)
                    if not table[code] & _SPACE:
                        break
                elif not table[byte] & _SPACE:
                    break
                at += width
                seen += 1
        if size > starts[text] and (others or capital > small):
            odd[text] = _CASE if capital + others > small else _FORM
        starts[text + 1] = size
    return out[:size].copy(), starts, odd


@kernel
def _without_spaces(data: Bytes, offsets: Offsets) -> NDArray[np.int64]:
    sizes = np.zeros(len(offsets) - 1, np.int64)
    for text in range(len(sizes)):
        for at in range(offsets[text], offsets[text + 1]):
            sizes[text] += data[at] != 32
    return sizes
