r"""Cutting text into words, the pieces that no merge crosses.

The patterns are written as their models publish them. Every character falls into one word, so the words of a text join
back to the text. `word_end` finds the same words as `regex` does with these patterns, but in the UTF-8 bytes:

    " don't 12"   gpt2 and llama3: " don", "'t", " ", "12"  (gpt2 has " 12" for the last two; qwen2 cuts "1", "2")

A byte that is no part of well-formed UTF-8 (Unicode 15, table 3-7) counts as a character of its own, of no category:
the words of any bytes are those of `bytes.decode("utf-8", "surrogateescape")`, spelled in bytes again.
"""

from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.bits import load8, load64, trailing_zeros
from groundup.kernels.compilation import Integer, lean_helper, lean_kernel
from groundup.tokenizer.characters import LETTER, NEWLINE, NUMBER, OTHER, SPACE, character_classes

PatternName = Literal["gpt2", "llama3", "qwen2", "character"]

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS: dict[PatternName, str] = {
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "llama3": _LLAMA3,
    "qwen2": _LLAMA3.replace("{1,3}", ""),
    "character": r"[\s\S]",
}
GPT2, LLAMA3, QWEN2, CHARACTER, UNCUT = range(5)
NUMBERED: dict[PatternName, int] = {name: number for number, name in enumerate(get_args(PatternName))}

PADDING = 16  # bytes that can be read beyond a text: words are looked at eight and sixteen bytes at a time

# Eight bytes at a time: is each an ASCII letter? A byte of 0x61 to 0x7A carries into its high bit when 0x1F is added,
# but not when 0x05 is (Lamport, "Multiple byte processing with full-word instructions", 1975).
_EVERY = 0x0101010101010101
_LOWER_CASE = np.uint64(0x20 * _EVERY)
_LOW_BITS = np.uint64(0x7F * _EVERY)
_HIGH_BITS = np.uint64(0x80 * _EVERY)
_FROM_A = np.uint64((0x80 - ord("a")) * _EVERY)
_BEYOND_Z = np.uint64((0x80 - ord("z") - 1) * _EVERY)


def split(text: bytes, pattern: PatternName) -> list[bytes]:
    """The words of `text`, one after the other."""
    ends = np.empty(len(text), dtype=np.int64)
    padded = np.frombuffer(text + bytes(PADDING), dtype=np.uint8)
    count = _ends(padded, len(text), NUMBERED[pattern], character_classes(), ends)
    bounds = [0, *ends[:count].tolist()]
    return [text[start:end] for start, end in pairwise(bounds)]


@lean_kernel
def _ends(text: NDArray, size: Integer, pattern: Integer, classes: NDArray, ends: NDArray) -> Integer:
    base, count = np.int64(text.ctypes.data), 0
    at, end = base, base + size
    while at < end:
        at = word_end(at, end, pattern, np.int64(classes.ctypes.data))
        ends[count] = at - base
        count += 1
    return count


@lean_helper
def word_end(at: Integer, end: Integer, pattern: Integer, classes: Integer) -> Integer:
    """Where the word that begins at `at` ends, in a text that ends at `end`; all are addresses.

    Up to `end + PADDING` memory must be readable.

    Args:
        pattern: a number of NUMBERED, or UNCUT: the whole text is a word.
        classes: the address of `character_classes()`.
    """
    if pattern == GPT2:
        return _gpt2(at, end, classes)
    if pattern == UNCUT:
        return end
    if pattern == CHARACTER:
        return at + (_character(at, end, classes) >> 3)
    return _llama3(at, end, classes, 3 if pattern == LLAMA3 else 1)


@lean_helper
def _gpt2(at: Integer, end: Integer, classes: Integer) -> Integer:
    first = load8(at)
    if first == 0x27:
        contraction = _contraction(at, end, False)
        if contraction > 0:
            return at + contraction
    after = at + 1 if first == 0x20 and at + 1 < end else at
    character = _character(after, end, classes)
    kind, beyond = character & 7, after + (character >> 3)
    if kind == LETTER:
        return _letters_end(beyond, end, classes)
    if kind in (NUMBER, OTHER):
        return _run_end(beyond, end, classes, kind)
    return _white_space_end(at, end, classes, False)


@lean_helper
def _llama3(at: Integer, end: Integer, classes: Integer, max_digits: Integer) -> Integer:
    first = load8(at)
    if first == 0x27:
        contraction = _contraction(at, end, True)
        if contraction > 0:
            return at + contraction
    character = _character(at, end, classes)
    kind, beyond = character & 7, at + (character >> 3)
    if kind == LETTER:
        return _letters_end(beyond, end, classes)
    if kind == NUMBER:
        for _ in range(max_digits - 1):
            if beyond == end:
                break
            character = _character(beyond, end, classes)
            if character & 7 != NUMBER:
                break
            beyond += character >> 3
        return beyond
    if kind != NEWLINE and beyond < end:
        second = _character(beyond, end, classes)
        if second & 7 == LETTER:
            return _letters_end(beyond + (second >> 3), end, classes)
        if second & 7 == OTHER and first == 0x20:
            kind, beyond = OTHER, beyond + (second >> 3)
    if kind == OTHER:
        beyond = _run_end(beyond, end, classes, OTHER)
        while beyond < end and (load8(beyond) == 0x0D or load8(beyond) == 0x0A):
            beyond += 1
        return beyond
    return _white_space_end(at, end, classes, True)


@lean_helper
def _character(at: Integer, end: Integer, classes: Integer) -> Integer:
    """The class of the character at `at` and, times 8, its bytes."""
    byte = load8(at)
    return 8 | load8(classes + byte) if byte < 0x80 else _long_character(at, end, classes)


@lean_helper
def _long_character(at: Integer, end: Integer, classes: Integer) -> Integer:
    """`_character` beyond ASCII: of two to four bytes, or one byte that is not well-formed."""
    lead = load8(at)
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or lead > 0xF4 or at + size > end:
        return 8 | OTHER
    code = lead & (0xFF >> (size + 1))
    for offset in range(1, size):
        byte = load8(at + offset)
        if byte & 0xC0 != 0x80:
            return 8 | OTHER
        code = (code << 6) | (byte & 0x3F)
    if (size == 3 and (code < 0x800 or 0xD800 <= code < 0xE000)) or (size == 4 and not 0x10000 <= code < 0x110000):
        return 8 | OTHER
    return (size << 3) | load8(classes + code)


@lean_helper
def _letters_end(at: Integer, end: Integer, classes: Integer) -> Integer:
    """`_run_end` for letters, ASCII ones eight at a time."""
    while at < end:
        eight = load64(at)
        folded = (eight | _LOWER_CASE) & _LOW_BITS
        others = ~((folded + _FROM_A) & ~(folded + _BEYOND_Z) & ~eight) & _HIGH_BITS
        letters = trailing_zeros(others) >> 3
        at += letters
        if letters < 8 and at < end:
            character = _character(at, end, classes)
            if character & 7 != LETTER:
                return at
            at += character >> 3
    return min(at, end)


@lean_helper
def _run_end(at: Integer, end: Integer, classes: Integer, kind: Integer) -> Integer:
    """Where the characters of this class end that begin at `at`; `at` itself where there is none."""
    while at < end:
        character = _character(at, end, classes)
        if character & 7 != kind:
            break
        at += character >> 3
    return at


@lean_helper
def _white_space_end(at: Integer, end: Integer, classes: Integer, lines: bool) -> Integer:
    r"""The end of `\s*[\r\n]+` (only with `lines`), else of `\s+(?!\S)`, else of `\s+`."""
    beyond, last, newline = at, at, -1
    while beyond < end:
        character = _character(beyond, end, classes)
        if character & 7 < SPACE:
            break
        last = beyond
        beyond += character >> 3
        if character & 7 == NEWLINE:
            newline = beyond
    if lines and newline >= 0:
        return newline
    if beyond < end and last > at:
        return last
    return beyond


@lean_helper
def _contraction(at: Integer, end: Integer, any_case: bool) -> Integer:
    """How many bytes the contraction has that begins with the apostrophe at `at`; 0 for none."""
    if at + 2 > end:
        return 0
    fold = np.int64(0x20 if any_case else 0)
    first = load8(at + 1) | fold
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:  # s t m d
        return 2
    if at + 3 > end:
        return 0
    second = load8(at + 2) | fold
    if (second == 0x65 and (first == 0x72 or first == 0x76)) or (second == 0x6C and first == 0x6C):  # re ve ll
        return 3
    # U+017F, the long s, is an s in another case
    return 3 if any_case and load8(at + 1) == 0xC5 and load8(at + 2) == 0xBF else 0
