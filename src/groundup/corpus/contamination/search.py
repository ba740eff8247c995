"""Looking for n-grams of evaluation sets in documents (compiled).

A match is exact: where a hash is found, the bytes of the words are compared.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.minhash import PADDING, Words, hash_words
from groundup.corpus.duplicates.normal_form import MOST_GROWTH, FormTable, squeeze, write_form
from groundup.kernels.arrow import Bytes, Offsets, longest_text
from groundup.kernels.compilation import Integer, helper, kernel
from groundup.kernels.hashing import BASE, GOLDEN, ONE, folded, power

_SPACE = np.uint8(32)
_SIX, _LOWEST = np.uint64(6), np.uint64(63)  # of a position in the filter
_NONE = np.int32(-1)


class Starts(NamedTuple):
    """Everything that is looked for: a text's n-grams, or a whole text."""

    key: Words  # hash of its first words
    text: NDArray[np.int32]  # whose it is
    start: Offsets  # in the bytes of all texts
    end: Offsets
    words: NDArray[np.int32]
    key_words: int


class NgramTable(NamedTuple):
    """The same sorted by key, and where each key's begin: open addressing, at most half full.

    Nearly all that is asked for is not there: `filter` says so at once for 13 of 14, from memory that is near.
    """

    filter: Words  # 64 bits each; one of them is set for each key
    slots: NDArray[np.int32]  # first of the key, or -1
    starts: Starts


def make_table(starts: Starts) -> NgramTable:
    """Sort what is looked for, and make it a table."""
    by_key = np.argsort(starts.key, kind="stable")
    key, text, start, end, words = (getattr(starts, name)[by_key] for name in ("key", "text", "start", "end", "words"))
    ordered = Starts(key, text, start, end, words, starts.key_words)
    size = 16
    while size < 2 * len(by_key):
        size *= 2
    return NgramTable(_fill_filter(ordered.key, size // 16), _fill(ordered.key, size), ordered)


def hash_starts(forms: Bytes, ends: Offsets, ngram_words: int, key_words: int) -> Starts:
    """What is looked for of texts in their normal form.

    Args:
        forms: texts in a row, with PADDING bytes after.
        ends: [texts + 1] where each starts and the last one ends.
        ngram_words: words in an n-gram.
        key_words: texts of fewer words are not looked for.
    """
    columns = _starts(forms, ends, ngram_words, key_words)
    return Starts(*columns, key_words)


# ---- compiled ----


@helper
def _hash_rows(words: Words, count: int, size: int, keys: Words) -> Integer:
    """Write a hash of every `size` words in a row to `keys`, by their first word; returns how many there are."""
    if count < size:
        return 0
    leaving = power(BASE, size)  # what a word was multiplied by when it leaves
    rolling = np.uint64(0)
    for word in range(size):
        rolling = rolling * BASE + words[word]
    keys[0] = _mixed(rolling)
    for word in range(size, count):
        rolling = rolling * BASE + words[word] - words[word - size] * leaving
        keys[word - size + 1] = _mixed(rolling)
    return count - size + 1


@helper
def _mixed(rolling: Integer) -> Integer:
    return folded(folded(rolling) * GOLDEN)


@helper
def _word_starts(form: Bytes, end: int, positions: Offsets) -> Integer:
    """Where each word of `form[:end]` starts, and one after the last word's space; returns how many words."""
    count = 0
    for at in range(end):
        if at == 0 or form[at - 1] == _SPACE:
            positions[count] = at
            count += 1
    positions[count] = end + 1
    return count


@kernel
def _starts(
    forms: Bytes, ends: Offsets, ngram_words: int, key_words: int
) -> tuple[Words, NDArray[np.int32], Offsets, Offsets, NDArray[np.int32]]:
    texts = len(ends) - 1
    longest = longest_text(ends)
    form = np.empty(longest + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    positions = np.empty(longest + 2, dtype=np.int64)
    most = (ends[texts] - ends[0]) // 2 + texts
    key, text = np.empty(most, dtype=np.uint64), np.empty(most, dtype=np.int32)
    start, end = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    size = np.empty(most, dtype=np.int32)
    row_keys = np.empty(longest + 1, dtype=np.uint64)
    found = 0
    for one in range(texts):
        length = ends[one + 1] - ends[one]
        form[:length] = forms[ends[one] : ends[one + 1]]
        count = hash_words(form, length, words)
        _word_starts(form, length, positions)
        taken = min(ngram_words, count)
        for first in range(min(_hash_rows(words, count, key_words, row_keys), count - taken + 1)):
            key[found], text[found] = row_keys[first], one
            start[found], end[found] = ends[one] + positions[first], ends[one] + positions[first + taken] - 1
            size[found] = taken
            found += 1
    return key[:found].copy(), text[:found].copy(), start[:found].copy(), end[:found].copy(), size[:found].copy()


@kernel
def _fill(keys: Words, size: int) -> NDArray[np.int32]:
    slots = np.full(size, _NONE, dtype=np.int32)
    for at in range(keys.size):
        if at and keys[at] == keys[at - 1]:
            continue
        slot = np.int64(keys[at]) & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = at
    return slots


@kernel
def _fill_filter(keys: Words, size: int) -> Words:
    marks = np.zeros(size, dtype=np.uint64)
    for at in range(keys.size):
        marks[np.int64(keys[at] >> _SIX) & (size - 1)] |= ONE << (keys[at] & _LOWEST)
    return marks


@helper
def _first_of(slots: NDArray[np.int32], keys: Words, key: Integer) -> Integer:
    """The number of the first with this key, or -1."""
    mask = slots.size - 1
    slot = np.int64(key) & mask
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return np.int64(slots[slot])


@helper
def _is_at(form: Bytes, end: int, at: int, wanted: Bytes, first: Integer, last: Integer) -> bool:
    """Whether `wanted[first:last]` is at `form[at]`, with the end of a word after it. form[end] is a space."""
    size = last - first
    if at + size > end or form[at + size] != _SPACE:
        return False
    offset = 0
    while offset < size and form[at + offset] == wanted[first + offset]:
        offset += 1
    return offset == size


@kernel
def search(
    data: Bytes, offsets: Offsets, forms: FormTable, table: NgramTable, wanted: Bytes
) -> tuple[Offsets, Offsets, Offsets]:
    """Everything of the table that occurs in documents: `(row, its number in the table, its first word there)`.

    Args:
        data: documents in a row.
        offsets: [documents + 1]
        forms: the normal form.
        table: what is looked for.
        wanted: the bytes that the table's positions are in.
    """
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    positions = np.empty(longest + 2, dtype=np.int64)
    hits = np.empty((64, 3), dtype=np.int64)
    count = 0
    # Apart: a call with the whole table would cost more than what it does.
    marks, slots, keys = table.filter, table.slots, table.starts.key
    last_mark = marks.size - 1
    size = table.starts.key_words
    row_keys = np.empty(longest + 1, dtype=np.uint64)
    for row in range(len(offsets) - 1):
        length = squeeze(form, write_form(data, offsets[row], offsets[row + 1], forms, form))
        total = hash_words(form, length, words)
        located = False
        for word in range(_hash_rows(words, total, size, row_keys)):
            key = row_keys[word]
            if marks[np.int64(key >> _SIX) & last_mark] >> (key & _LOWEST) & ONE == 0:
                continue
            at = _first_of(slots, keys, key)
            if at < 0:
                continue
            if not located:
                _word_starts(form, length, positions)
                located = True
            position = positions[word]
            while at < keys.size and keys[at] == key:
                if _is_at(form, length, position, wanted, table.starts.start[at], table.starts.end[at]):
                    if count == len(hits):
                        more = np.empty((2 * count, 3), dtype=np.int64)
                        more[:count] = hits
                        hits = more
                    hits[count, 0], hits[count, 1], hits[count, 2] = row, at, word
                    count += 1
                at += 1
    return hits[:count, 0].copy(), hits[:count, 1].copy(), hits[:count, 2].copy()
