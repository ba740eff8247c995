"""How much of a text is said twice: lines, paragraphs and words in a row, by their hashes.

A text of thousands of words has few words in a row that occur twice, and that is used. Five words in a row can be
repeated only where the first four and the last four are:

    words that occur more than once -> pairs of such words that occur more than once -> threes of such pairs -> ...

Each step looks at what the one before has left, a tenth of the text and less, and finds exactly what looking at
everything would find. A sequence of n words is named by the numbers of the two sequences of n - 1 words in it, so that
beyond the words themselves nothing rests on hashes.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.columns import (
    DUPLICATE_5GRAMS,
    DUPLICATE_LINE_CHARACTERS,
    DUPLICATE_LINES,
    DUPLICATE_PARAGRAPH_CHARACTERS,
    DUPLICATE_PARAGRAPHS,
    TOP_BIGRAM,
)
from groundup.kernels.compilation import helper
from groundup.kernels.hashing import GOLDEN

LEAST_WORDS = 50  # in shorter texts words in a row are not looked at: they repeat by chance
_MOST_TOP, _LEAST_DUPLICATE, _MOST_DUPLICATE = 4, 5, 10
_EMPTY = np.uint64(0)

Hashes = NDArray[np.uint64]
Lengths = NDArray[np.int64]
Numbers = NDArray[np.int32]


@helper
def _bits_for(entries: int) -> int:
    """The size of a table as a power of two: at most half of it is used."""
    bits = 4
    while 1 << bits < 2 * entries:
        bits += 1
    return bits


@helper
def _slot(keys: Hashes, bits: int, key: np.uint64) -> np.int64:
    """Where `key` is, or the empty slot where it belongs."""
    mask = (1 << bits) - 1
    slot = np.int64((key * GOLDEN) >> np.uint64(64 - bits))
    while keys[slot] != _EMPTY and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@helper
def duplicates(hashes: Hashes, lengths: Lengths, count: int, keys: Hashes) -> tuple[int, int]:
    """How many of the first `count` hashes occur before, and the sum of their lengths."""
    bits = _bits_for(count)
    keys[: 1 << bits] = _EMPTY
    repeated = characters = 0
    for at in range(count):
        slot = _slot(keys, bits, hashes[at])
        if keys[slot] == hashes[at]:
            repeated += 1
            characters += lengths[at]
        else:
            keys[slot] = hashes[at]
    return repeated, characters


@helper
def _numbered(
    keys_of: Hashes, count: int, keys: Hashes, numbers: Numbers, found: Numbers, times: Numbers, first: Numbers
) -> None:
    """Number the different keys among the first `count` from 0.

    Args:
        keys_of: what is to be numbered; none is 0.
        count: see there.
        keys, numbers: the table, at least twice as long.
        found: becomes the number of each.
        times: becomes how often each number occurs.
        first: becomes the position at which each number occurs first.
    """
    bits = _bits_for(count)
    keys[: 1 << bits] = _EMPTY
    different = 0
    for at in range(count):
        slot = _slot(keys, bits, keys_of[at])
        if keys[slot] == _EMPTY:
            keys[slot], numbers[slot] = keys_of[at], different
            times[different], first[different] = 0, at
            different += 1
        number = numbers[slot]
        found[at] = number
        times[number] += 1


@helper
def sequences(
    words: Hashes,
    lengths: Lengths,
    count: int,
    keys: Hashes,
    numbers: Numbers,
    pairs: Hashes,
    found: Numbers,
    times: Numbers,
    first: Numbers,
    positions: Numbers,
    row: NDArray[np.float64],
) -> None:
    """The fractions of characters in the most frequent 2 to 4, and in repeated 5 to 10 words in a row.

    Args:
        words: hashes of the text's words.
        lengths: the characters in all words before each, and those in all words after the last.
        count: words in the text.
        keys, numbers: a table for at least `count` keys.
        pairs, found, times, first, positions: room for `count` values each.
        row: the text's statistics.
    """
    total = lengths[count]
    _numbered(words, count, keys, numbers, found, times, first)
    kept = 0
    for at in range(count):
        if times[found[at]] > 1:
            positions[kept], found[kept] = at, found[at]
            kept += 1
    for n in range(2, _MOST_DUPLICATE + 1):
        # Sequences of n words whose first and last n - 1 are both repeated.
        candidates = 0
        for at in range(kept - 1):
            if positions[at + 1] == positions[at] + 1:
                pairs[candidates] = (np.uint64(found[at]) << np.uint64(32) | np.uint64(found[at + 1])) + np.uint64(1)
                positions[candidates] = positions[at]
                candidates += 1
        if candidates == 0:
            return
        _numbered(pairs, candidates, keys, numbers, found, times, first)
        if n <= _MOST_TOP:
            most = longest = 0
            for at in range(candidates):
                often = times[found[at]]
                length = lengths[positions[at] + n] - lengths[positions[at]]
                if often > most or (often == most and length > longest):
                    most, longest = often, length
            if most > 1:
                row[TOP_BIGRAM + n - 2] = min(1.0, most * longest / total)
        if n >= _LEAST_DUPLICATE:
            covered = end = 0
            for at in range(candidates):
                if first[found[at]] != at:
                    begin = max(end, positions[at])
                    end = positions[at] + n
                    covered += lengths[end] - lengths[begin]
            row[DUPLICATE_5GRAMS + n - _LEAST_DUPLICATE] = covered / total
        kept = 0
        for at in range(candidates):
            if times[found[at]] > 1:
                positions[kept], found[kept] = positions[at], found[at]
                kept += 1


@helper
def repeated_lines(
    lines: Hashes, line_lengths: Lengths, line_count: int,
    paragraphs: Hashes, paragraph_lengths: Lengths, paragraph_count: int,
    total: int, keys: Hashes, row: NDArray[np.float64],
) -> None:  # fmt: skip
    """The fractions of lines and paragraphs that occur before, and of the characters in them."""
    repeated, characters = duplicates(lines, line_lengths, line_count, keys)
    row[DUPLICATE_LINES] = repeated / line_count
    row[DUPLICATE_LINE_CHARACTERS] = characters / total
    repeated, characters = duplicates(paragraphs, paragraph_lengths, paragraph_count, keys)
    row[DUPLICATE_PARAGRAPHS] = repeated / paragraph_count
    row[DUPLICATE_PARAGRAPH_CHARACTERS] = characters / total
