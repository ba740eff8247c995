"""A table of words and their counts that numba kernels fill: exact to the byte, counts of 64 bits.

A word of up to 15 bytes, as nearly all are, is its own key: two numbers hold its bytes and, in the highest byte, its
length. A longer word is kept in `long_bytes`; its key is a hash of its bytes and 0xFF << 56 | its number, and wherever
two hashes are equal the bytes are compared too. Open addressing, at most half full.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.bits import load8, load64, prefetch
from groundup.kernels.compilation import Integer, lean_helper, lean_kernel
from groundup.kernels.hashing import BASE, GOLDEN, byte_masks, folded
from groundup.tokenizer.pretokenizer import word_end

SHORT = 15  # bytes
WORDS, LONG = 0, 1  # what `WordTable.size` counts
WORDS_AT_ONCE = 64
FIRST, SECOND, SIZE, HOME = range(4)  # of a word that was cut: its key if it is short, its bytes, its first slot

LONG_MARK = np.uint64(0xFF << 56)
NOTHING = np.uint64(0)
_TOP = np.uint64(56)
_BYTE = np.uint64(0xFF)
# What of the first and the second eight bytes belongs to a word of so many bytes, and its length.
_FIRST, _SECOND = byte_masks(SHORT)
_LENGTH = np.array([size << 56 for size in range(SHORT + 1)], dtype=np.uint64)


class WordTable(NamedTuple):
    """The arrays of a table of words."""

    keys: NDArray[np.uint64]  # (slots, 2); 0 in the second is an empty slot
    counts: NDArray[np.int64]  # (slots,)
    long_bytes: NDArray[np.uint8]  # the words of more than 15 bytes, one after the other
    long_ends: NDArray[np.int64]  # where each ends; the first entry is 0
    size: NDArray[np.int64]  # how many words there are, and how many of them are long


def empty_table(slots: int = 1 << 12) -> WordTable:
    """`slots` is a power of 2."""
    return WordTable(
        np.zeros((slots, 2), dtype=np.uint64),
        np.zeros(slots, dtype=np.int64),
        np.empty(0, dtype=np.uint8),
        np.zeros(1, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
    )


def room_for_words() -> NDArray[np.uint64]:
    """Scratch space for `cut_words`: WORDS_AT_ONCE words are cut, then looked up, so that memory is waited for once."""
    return np.empty((WORDS_AT_ONCE, 4), dtype=np.uint64)


def with_room(table: WordTable, size: int) -> WordTable:
    """The same table with room for the long words of a text of `size` bytes."""
    used, words = int(table.long_ends[table.size[LONG]]), int(table.size[LONG])
    if used + size > len(table.long_bytes):
        grown = np.empty(max(used + size, 2 * used), dtype=np.uint8)
        grown[:used] = table.long_bytes[:used]
        table = table._replace(long_bytes=grown)
    most = words + size // (SHORT + 1) + 1
    if most > len(table.long_ends):
        ends = np.empty(max(most, 2 * words), dtype=np.int64)
        ends[: words + 1] = table.long_ends[: words + 1]
        table = table._replace(long_ends=ends)
    return table


@lean_kernel
def count_texts(
    text: NDArray,
    offsets: NDArray,
    document: Integer,
    start: Integer,
    table: WordTable,
    pattern: Integer,
    classes: NDArray,
    words: NDArray,
) -> tuple[Integer, Integer]:
    """Count the words of texts that lie one after the other, from byte `start` of `text` in `document` on.

    Stops where the table is half full, and returns the document and the byte to continue from. The table must be
    `with_room` for the text. `words` is from `room_for_words`.
    """
    keys, counts = np.int64(table.keys.ctypes.data), table.counts
    base, table_of_classes = np.int64(text.ctypes.data), np.int64(classes.ctypes.data)
    mask, room = counts.size - 1, counts.size // 2 - table.size[WORDS]
    at = base + start
    while document < offsets.size - 1:
        end = base + offsets[document + 1]
        while at < end:
            cut = cut_words(at, end, pattern, table_of_classes, words, keys, np.int64(16), mask)
            for word in range(cut):
                if room == 0:
                    return document, at - base
                size = np.int64(words[word, SIZE])
                if size <= SHORT:
                    first, second = words[word, FIRST], words[word, SECOND]
                    slot = _slot_from(np.int64(words[word, HOME]), keys, mask, first, second)
                    if counts[slot] == 0:
                        table.keys[slot, 0], table.keys[slot, 1] = first, second
                else:
                    slot = _slot_of_long(table, at, size)
                if counts[slot] == 0:
                    table.size[WORDS] += 1
                    room -= 1
                counts[slot] += 1
                at += size
        document += 1
    return document, at - base


@lean_helper
def cut_words(
    at: Integer,
    end: Integer,
    pattern: Integer,
    classes: Integer,
    words: NDArray,
    keys: Integer,
    slot_bytes: Integer,
    mask: Integer,
) -> Integer:
    """Cut the next words of a text and return how many; where each is looked up is brought near meanwhile."""
    cut = 0
    while cut < words.shape[0] and at < end:
        after = word_end(at, end, pattern, classes)
        words[cut, SIZE] = after - at
        if after - at <= SHORT:
            first, second = short_key(at, after - at)
            home = np.int64(mixed(first, second)) & mask
            prefetch(keys + slot_bytes * home)
            words[cut, FIRST], words[cut, SECOND], words[cut, HOME] = first, second, home
        at = after
        cut += 1
    return cut


@lean_helper
def short_key(at: Integer, size: Integer) -> tuple[Integer, Integer]:
    """The key of a word of up to 15 bytes at an address; 16 bytes can be read there."""
    return load64(at) & _FIRST[size], (load64(at + 8) & _SECOND[size]) | _LENGTH[size]


@lean_helper
def mixed(first: Integer, second: Integer) -> Integer:
    """A hash of a key."""
    return folded(folded(folded(first) * GOLDEN + second * BASE) * GOLDEN)


@lean_helper
def short_slot(keys: Integer, mask: Integer, first: Integer, second: Integer) -> Integer:
    """The slot of a short word, or the empty one where it belongs; `keys` is an address."""
    return _slot_from(np.int64(mixed(first, second)) & mask, keys, mask, first, second)


@lean_helper
def _slot_from(slot: Integer, keys: Integer, mask: Integer, first: Integer, second: Integer) -> Integer:
    while True:
        found = load64(keys + 16 * slot + 8)
        if found == NOTHING or (found == second and load64(keys + 16 * slot) == first):
            return slot
        slot = (slot + 1) & mask


@lean_helper
def long_hash(at: Integer, size: Integer) -> Integer:
    """A hash of the word of more than 15 bytes at an address."""
    hashed = np.uint64(size)
    for offset in range(0, size - 7, 8):
        hashed = mixed(hashed, load64(at + offset))
    return mixed(hashed, load64(at + size - 8))


@lean_helper
def _equal(one: Integer, other: Integer, size: Integer) -> bool:
    """Whether the same bytes, more than 15, are at two addresses."""
    for offset in range(0, size - 7, 8):
        if load64(one + offset) != load64(other + offset):
            return False
    return load64(one + size - 8) == load64(other + size - 8)


@lean_helper
def find(table: WordTable, at: Integer, size: Integer) -> Integer:
    """The slot of the word at an address, or the empty one where it belongs."""
    if size > SHORT:
        return _long_slot(table, at, size, long_hash(at, size))
    first, second = short_key(at, size)
    return short_slot(np.int64(table.keys.ctypes.data), table.counts.size - 1, first, second)


@lean_helper
def _long_slot(table: WordTable, at: Integer, size: Integer, hashed: Integer) -> Integer:
    keys = table.keys
    mask = keys.shape[0] - 1
    slot = np.int64(hashed) & mask
    while keys[slot, 1] != NOTHING:
        if keys[slot, 0] == hashed and keys[slot, 1] >= LONG_MARK:
            word = np.int64(keys[slot, 1] - LONG_MARK)
            start, end = table.long_ends[word], table.long_ends[word + 1]
            if end - start == size and _equal(np.int64(table.long_bytes.ctypes.data) + start, at, size):
                break
        slot = (slot + 1) & mask
    return slot


@lean_helper
def _slot_of_long(table: WordTable, at: Integer, size: Integer) -> Integer:
    """The slot of the word of more than 15 bytes at an address; put there if it is new."""
    hashed = long_hash(at, size)
    slot = _long_slot(table, at, size, hashed)
    if table.keys[slot, 1] == NOTHING:
        word = table.size[LONG]
        start = table.long_ends[word]
        for offset in range(size):
            table.long_bytes[start + offset] = load8(at + offset)
        table.long_ends[word + 1] = start + size
        table.keys[slot, 0], table.keys[slot, 1] = hashed, LONG_MARK | np.uint64(word)
        table.size[LONG] += 1
    return slot


def doubled(table: WordTable) -> WordTable:
    """The same table with twice as many slots."""
    slots = 2 * len(table.counts)
    grown = table._replace(keys=np.zeros((slots, 2), dtype=np.uint64), counts=np.zeros(slots, dtype=np.int64))
    _refill(table.keys, table.counts, grown.keys, grown.counts)
    return grown


@lean_kernel
def _refill(keys: NDArray, counts: NDArray, new_keys: NDArray, new_counts: NDArray) -> None:
    mask = new_counts.size - 1
    for slot in range(counts.size):
        first, second = keys[slot, 0], keys[slot, 1]
        if second != NOTHING:
            target = np.int64(first if second >= LONG_MARK else mixed(first, second)) & mask
            while new_keys[target, 1] != NOTHING:
                target = (target + 1) & mask
            new_keys[target, 0], new_keys[target, 1], new_counts[target] = first, second, counts[slot]


def with_rows(
    table: WordTable, text: NDArray[np.uint8], offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> WordTable:
    """The table with each word of `text` counted as often as `counts` says; PADDING bytes can be read after it."""
    table, row = with_room(table, int(offsets[-1])), 0
    while (row := _add_rows(text, offsets, counts, row, table)) < len(counts):
        table = doubled(table)
    return table


def with_table(table: WordTable, other: WordTable) -> WordTable:
    """The table with the counts of another one added."""
    table, slot = with_room(table, int(other.long_ends[other.size[LONG]])), 0
    while (slot := _add_table(other, slot, table)) < len(other.counts):
        table = doubled(table)
    return table


@lean_kernel
def _add_table(other: WordTable, slot: Integer, table: WordTable) -> Integer:
    """From `slot` of the other one on; stops where the table is half full, and returns the slot to continue from."""
    keys, long_bytes = np.int64(table.keys.ctypes.data), np.int64(other.long_bytes.ctypes.data)
    while slot < other.counts.size and 2 * table.size[WORDS] < table.counts.size:
        if other.counts[slot] > 0:
            first, second = other.keys[slot, 0], other.keys[slot, 1]
            if second >= LONG_MARK:
                start = other.long_ends[np.int64(second - LONG_MARK)]
                size = other.long_ends[np.int64(second - LONG_MARK) + 1] - start
                target = _slot_of_long(table, long_bytes + start, size)
            else:
                target = short_slot(keys, table.counts.size - 1, first, second)
                table.keys[target, 0], table.keys[target, 1] = first, second
            table.size[WORDS] += table.counts[target] == 0
            table.counts[target] += other.counts[slot]
        slot += 1
    return slot


@lean_kernel
def _add_rows(text: NDArray, offsets: NDArray, counts: NDArray, row: Integer, table: WordTable) -> Integer:
    """From `row` on; stops where the table is half full, and returns the row to continue from."""
    keys, base = np.int64(table.keys.ctypes.data), np.int64(text.ctypes.data)
    while row < offsets.size - 1 and 2 * table.size[WORDS] < table.counts.size:
        at, size = base + offsets[row], offsets[row + 1] - offsets[row]
        if size <= SHORT:
            first, second = short_key(at, size)
            slot = short_slot(keys, table.counts.size - 1, first, second)
            table.keys[slot, 0], table.keys[slot, 1] = first, second
        else:
            slot = _slot_of_long(table, at, size)
        table.size[WORDS] += table.counts[slot] == 0
        table.counts[slot] += counts[row]
        row += 1
    return row


def rows_of(
    table: WordTable, min_count: int, in_order: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The words that occur `min_count` times or more: their bytes in a row, (words + 1,) offsets, and their counts.

    Args:
        in_order: sort them by their bytes; else their order is that of the slots.
    """
    used = np.flatnonzero(table.counts >= max(1, min_count))
    lengths = (table.keys[used, 1] >> _TOP).astype(np.int64)
    is_long = lengths > SHORT
    long_words = (table.keys[used[is_long], 1] - LONG_MARK).astype(np.int64)
    lengths[is_long] = table.long_ends[long_words + 1] - table.long_ends[long_words]
    if in_order and len(used):
        order = _order(table, used, is_long, long_words)
        used, lengths = used[order], lengths[order]
    offsets = np.zeros(len(used) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    text = np.empty(int(offsets[-1]), dtype=np.uint8)
    _spell(table, used, offsets, text)
    return text, offsets, table.counts[used]


def _order(
    table: WordTable, used: NDArray[np.int64], is_long: NDArray[np.bool_], long_words: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The order of the words by their bytes: by the first 8, by the next 7 and the length, by all of long ones."""
    first, second = table.keys[used, 0].byteswap(), table.keys[used, 1].byteswap()
    rank = np.zeros(len(used), dtype=np.int64)
    if len(long_words):
        bytes_of = table.long_bytes.data
        bounds = zip(table.long_ends[long_words].tolist(), table.long_ends[long_words + 1].tolist(), strict=True)
        words = [bytes(bytes_of[start:end]) for start, end in bounds]
        rank[np.flatnonzero(is_long)[sorted(range(len(words)), key=words.__getitem__)]] = np.arange(len(words))
        heads = np.frombuffer(b"".join(word[:SHORT] + b"\xff" for word in words), dtype=">u8").astype(np.uint64)
        first[is_long], second[is_long] = heads[::2], heads[1::2]
    return np.lexsort((rank, second, first))


@lean_kernel
def _spell(table: WordTable, used: NDArray, offsets: NDArray, text: NDArray) -> None:
    for row in range(used.size):
        key, start = table.keys[used[row], 1], offsets[row]
        if key >= LONG_MARK:
            begin = table.long_ends[np.int64(key - LONG_MARK)]
            for at in range(offsets[row + 1] - start):
                text[start + at] = table.long_bytes[begin + at]
        else:
            for at in range(offsets[row + 1] - start):
                eight = table.keys[used[row], at >> 3]
                text[start + at] = (eight >> np.uint64(8 * (at & 7))) & _BYTE
