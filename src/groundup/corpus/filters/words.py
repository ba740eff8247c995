"""The words of a text that language identification is shown: those made of letters, not code, names and numbers."""

import unicodedata

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters import characters
from groundup.corpus.filters.scan import code_point
from groundup.kernels.arrow import Bytes, Offsets
from groundup.kernels.compilation import helper, kernel

MAX_CHARACTERS = 1000  # more of a text changes few answers, those between sister languages
_SCANNED = 8 * MAX_CHARACTERS  # characters in which the words are looked for
_SPACE = np.uint8(characters.SPACE)
_FIRST_LETTER = 0xAA  # of those beyond ASCII; from there on everything counts as one


def words_of(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[np.int64]]:
    """The words of each text, with one space between them, and how many bytes they have without the spaces.

    A word is what is between white space: letters of any script with their marks, apostrophes and hyphens, with
    brackets and quotes before it, and those and punctuation after it, which are skipped. Texts are brought into the
    form on which languages are learnt: NFC, and small letters where there are capital ones alone.

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
            parts.append(_usual(words.decode()).encode() if odd[text] else words)
        found = np.frombuffer(b"".join(parts), dtype=np.uint8)
        starts[1:] = np.cumsum([len(part) for part in parts])
    return found, starts, _without_spaces(found, starts)


def _usual(words: str) -> str:
    return unicodedata.normalize("NFC", words.lower() if words.isupper() else words)


@helper
def _is_before(byte: np.uint8) -> bool:
    return byte == 34 or byte == 40 or byte == 91  # " ( [


@helper
def _is_after(byte: np.uint8) -> bool:
    # " ) ] . , ; : ! ?
    return byte in (34, 41, 93, 46, 44, 59, 58, 33, 63)


@helper
def _is_letter(byte: np.uint8) -> np.bool_:
    return 97 <= byte | 32 <= 122


@kernel
def _words_of(data: Bytes, offsets: Offsets, table: NDArray[np.uint8]) -> tuple[Bytes, Offsets, NDArray[np.bool_]]:
    """`words_of` before the usual form; and for each text whether it may not be in it yet."""
    texts = len(offsets) - 1
    room = 0
    for text in range(texts):
        room += min(offsets[text + 1] - offsets[text] + 1, 4 * MAX_CHARACTERS + 4)
    out, starts, odd = np.empty(room, np.uint8), np.zeros(texts + 1, np.int64), np.zeros(texts, np.bool_)
    size = 0
    for text in range(texts):
        at, end, first = offsets[text], offsets[text + 1], size
        seen = taken = 0
        has_small = not_ascii = False
        while at < end and seen < _SCANNED and taken < MAX_CHARACTERS:
            # A run of anything but white space: data[at:stop], of which data[begin:finish] are the word.
            stop, begin, finish, count, is_word = at, at, at, 0, True
            while stop < end and seen < _SCANNED:
                byte = data[stop]
                if byte < 128:
                    if table[byte] & _SPACE:
                        break
                    width = 1
                    if _is_letter(byte) or (count > 0 and (byte == 39 or byte == 45)):
                        is_word = is_word and finish == stop
                        count, finish = count + 1, stop + 1
                    elif count == 0 and _is_before(byte):
                        begin = finish = stop + 1
                    elif count == 0 or not _is_after(byte):
                        is_word = False
                else:
                    code, width = code_point(data, stop)
                    if table[code] & _SPACE:
                        break
                    if finish != stop or code < _FIRST_LETTER:
                        is_word = False
                    count, finish = count + 1, stop + width
                stop += width
                seen += 1
            if is_word and count > 0:
                if taken:
                    out[size] = 32
                    size += 1
                    taken += 1
                at = begin
                while at < finish and taken < MAX_CHARACTERS:
                    byte = data[at]
                    width = 1 if byte < 128 else 2 if byte < 224 else 3 if byte < 240 else 4
                    has_small |= 97 <= byte <= 122
                    not_ascii |= byte >= 128
                    for more in range(width):
                        out[size + more] = data[at + more]
                    size, at, taken = size + width, at + width, taken + 1
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
        odd[text] = not_ascii or not has_small
        starts[text + 1] = size
        odd[text] = odd[text] and size > first
    return out[:size].copy(), starts, odd


@kernel
def _without_spaces(data: Bytes, offsets: Offsets) -> NDArray[np.int64]:
    sizes = np.zeros(len(offsets) - 1, np.int64)
    for text in range(len(sizes)):
        for at in range(offsets[text], offsets[text + 1]):
            sizes[text] += data[at] != 32
    return sizes
