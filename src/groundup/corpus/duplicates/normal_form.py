"""The form in which texts are compared: what is the same here reads the same.

    "Naïve co-op, 1984!"   ->   "naive co op 0000"

Each character goes its way by itself: lower case; taken apart (NFD) and without its combining marks (Mn) and invisible
format characters (Cf); a decimal digit of any script becomes 0, or that digit of ASCII where digits count; any other
letter, number or mark stays; everything else is a space. Then white space is squeezed to one space between words.
In scripts that put no space between words each character is a word of its own (`corpus/words.py`).

The work is done by a compiled loop over UTF-8 with a table of every character, worked out once per process.
"""

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.words import is_unspaced
from groundup.kernels.arrow import Bytes, Offsets, as_texts, buffers, longest_text
from groundup.kernels.compilation import Integer, helper, kernel

if TYPE_CHECKING:
    import pyarrow as pa

MOST_GROWTH = 3  # bytes that one byte of UTF-8 becomes at most; the tests try every character

_SPACE = np.uint8(32)
_ITSELF, _ALONE = np.int32(-1), np.int32(-2)  # stays as it is; stays, with a space on both sides
_LENGTH_BITS, _LENGTH_MASK = 5, 31
_CHUNK = 64  # bytes of ASCII that are done at once

# Long ranges that the table need not ask for one by one: ideographs, and what is no character of a text (surrogates,
# private use, unassigned), which becomes a space.
_LONG_RANGES = (
    *((0x3400, 0x4DC0, True), (0x4E00, 0xA000, True), (0xD800, 0xF900, False), (0x20000, 0x2A6E0, True)),
    *((0x2A700, 0x2B739, True), (0x2B740, 0x2B81E, True), (0x2B820, 0x2CEA2, True), (0x2CEB0, 0x2EBE1, True)),
    *((0x30000, 0x3134B, True), (0x323B0, 0xE0000, False), (0xE0200, 0x110000, False)),
)


class FormTable(NamedTuple):
    """What every character becomes. Those of ASCII need no table."""

    digits_alike: bool
    others: NDArray[np.int32]  # (0x110000,) from 128 on: _ITSELF, _ALONE, or start in the pool << 5 | bytes
    pool: Bytes


def normal(character: str, digits_alike: bool) -> str:
    """What one character becomes where words are compared, before white space is squeezed."""
    parts = []
    for part in unicodedata.normalize("NFD", character.lower()):
        category = unicodedata.category(part)
        if category in ("Mn", "Cf"):
            continue
        if category == "Nd":
            parts.append("0" if digits_alike else str(unicodedata.digit(part)))
        elif category[0] not in "LNM":
            parts.append(" ")
        else:
            parts.append(f" {part} " if is_unspaced(ord(part)) else part)
    return "".join(parts)


@cache
def table(digits_alike: bool) -> FormTable:
    """The table of `normal`."""
    others = np.full(0x110000, _ITSELF, dtype=np.int32)
    pool = bytearray()
    entries: dict[str, int] = {}

    def entry(result: str) -> int:
        if result not in entries:
            encoded = result.encode()
            entries[result] = len(pool) << _LENGTH_BITS | len(encoded)
            pool.extend(encoded)
        return entries[result]

    at = 128
    for first, end, are_ideographs in (*_LONG_RANGES, (0x110000, 0x110000, False)):
        for code in range(at, first):
            character = chr(code)
            result = normal(character, digits_alike)
            if result != character:
                others[code] = entry(result)
        others[first:end] = _ALONE if are_ideographs else entry(" ")
        at = end
    return FormTable(digits_alike, others, np.frombuffer(bytes(pool), dtype=np.uint8))


def normalise(texts: "pa.Array", digits_alike: bool = False) -> "pa.Array":
    """Each text in its normal form.

    Args:
        texts: strings without nulls.
        digits_alike: every digit becomes 0.
    """
    return as_texts(*_transform(*buffers(texts), table(digits_alike)))


def normalised(text: str, digits_alike: bool = False) -> str:
    """One text in its normal form."""
    import pyarrow as pa

    return normalise(pa.array([text], pa.string()), digits_alike)[0].as_py()


# ---- compiled ----


@helper
def write_form(data: Bytes, start: int, end: int, forms: FormTable, out: Bytes) -> Integer:
    """Write the form of `data[start:end]` (UTF-8) to `out`, with white space not squeezed yet; returns where it ends.

    Whoever only hashes words needs no more. `out` has room for MOST_GROWTH times the bytes.
    """
    at = 0
    while start < end:
        if start + _CHUNK <= end:
            chunk, result = data[start : start + _CHUNK], out[at : at + _CHUNK]
            every = np.uint8(0)
            for position in range(_CHUNK):
                every |= chunk[position]
                result[position] = _ascii_form(chunk[position], forms.digits_alike)
            if every < 128:
                start, at = start + _CHUNK, at + _CHUNK
                continue
        stop = min(end, start + _CHUNK)
        while start < stop:
            byte = data[start]
            if byte < 128:
                out[at] = _ascii_form(byte, forms.digits_alike)
                start, at = start + 1, at + 1
                continue
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            if start + size > end:
                return at
            code = np.int64(byte) & (0x7F >> size)
            for back in range(1, size):
                code = code << 6 | (np.int64(data[start + back]) & 0x3F)
            entry = forms.others[code]
            if entry >= 0:
                begin = entry >> _LENGTH_BITS
                for position in range(begin, begin + (entry & _LENGTH_MASK)):
                    out[at] = forms.pool[position]
                    at += 1
            else:
                out[at] = _SPACE
                at += entry == _ALONE
                for position in range(start, start + size):
                    out[at] = data[position]
                    at += 1
                if entry == _ALONE:
                    out[at] = _SPACE
                    at += 1
            start += size
    return at


@helper
def _ascii_form(byte: Integer, digits_alike: bool) -> Integer:
    """What one byte of ASCII becomes; without branches or a table, so that many are done at once."""
    if np.uint8(byte - 65) < 26:
        byte = np.uint8(byte + 32)
    elif np.uint8(byte - 48) < 10:
        byte = np.uint8(48) if digits_alike else byte
    elif np.uint8(byte - 97) >= 26:
        byte = _SPACE
    return byte


@helper
def squeeze(form: Bytes, end: int) -> Integer:
    """Make white space of `form[:end]` one space between words, in place; returns where it ends then."""
    at = 0
    spaced = True  # so that there is no space at the beginning
    for position in range(end):
        byte = form[position]
        form[at] = byte
        is_space = byte == _SPACE
        at += not (is_space and spaced)
        spaced = is_space
    return at - (spaced and at > 0)


@kernel
def _transform(data: Bytes, offsets: Offsets, forms: FormTable) -> tuple[Bytes, Offsets]:
    texts = len(offsets) - 1
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + 1, dtype=np.uint8)
    out = np.empty((offsets[texts] - offsets[0]) * MOST_GROWTH, dtype=np.uint8)
    ends = np.zeros(texts + 1, dtype=np.int64)
    for text in range(texts):
        end = squeeze(form, write_form(data, offsets[text], offsets[text + 1], forms, form))
        out[ends[text] : ends[text] + end] = form[:end]
        ends[text + 1] = ends[text] + end
    return out[: ends[texts]].copy(), ends
