"""From text to token ids: words cut, looked up among those seen before, else merged in the order of the merges' ranks.

Words come again and again, so the ids of short ones are kept. The table they are kept in has a fixed size, two slots
per word, and compares all bytes of a word: it can make encoding fast or slow, but never wrong.

A word of a few bytes, as nearly all are, is merged by looking over its pairs again and again. That costs the square of
its length, so a longer one (a run of one letter, a line of dashes, base64) is merged with a heap of its pairs, in
about length x log(length).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.bits import load8, load64
from groundup.kernels.compilation import Integer, lean_helper, lean_kernel
from groundup.kernels.hashing import GOLDEN, HALF, folded
from groundup.tokenizer.batches import Batch, batch_of, read_only
from groundup.tokenizer.characters import character_classes
from groundup.tokenizer.pretokenizer import NUMBERED, UNCUT
from groundup.tokenizer.vocabulary import BYTES, Vocabulary
from groundup.tokenizer.word_table import (
    FIRST,
    HOME,
    SECOND,
    SHORT,
    SIZE,
    WORDS,
    WordTable,
    cut_words,
    empty_table,
    find,
    room_for_words,
    with_rows,
)

LONG_WORD = 100  # bytes; above it the heap is faster
NO_MERGE = 2**63 - 1
KEPT_WORDS = 1 << 18  # 8 MB per thread
LARGE = 1 << 20  # bytes of a word; room for larger ones is given back

# A kept word: two numbers of key, as in `word_table`, and two that hold four ids, or eight where all are below 2**16.
# How many there are is in the key's highest four bits; the length below needs but four, too.
_COUNT_SHIFT = np.uint64(60)
_KEY = np.uint64((1 << 60) - 1)
_FREE = np.uint64(2**64 - 1)  # a free slot of a Merger


class Merger(NamedTuple):
    """What a vocabulary's merges say, as kernels read it."""

    byte_ids: NDArray[np.int32]  # (256,): the token of each byte
    pairs: NDArray[np.int64]  # (slots, 2): left << 32 | right, -1 for none; rank << 32 | the token they merge into
    of_bytes: NDArray[np.int64]  # (256 * 256,): the latter of two bytes, or NO_MERGE; words begin as bytes


def merger(vocabulary: Vocabulary) -> Merger:
    """The merges of a vocabulary."""
    slots = 1 << max(4, (2 * len(vocabulary.merges)).bit_length())
    table = np.full((slots, 2), -1, dtype=np.int64)
    _fill(table, vocabulary.merges.astype(np.int64), vocabulary.made.astype(np.int64))
    of_bytes = np.empty(BYTES * BYTES, dtype=np.int64)
    _fill_bytes(table, vocabulary.byte_ids, of_bytes)
    return Merger(vocabulary.byte_ids, table, of_bytes)


class Scratch(NamedTuple):
    """Room for merging one word, of as many bytes as `tokens` is long."""

    words: NDArray[np.uint64]  # for `cut_words`
    tokens: NDArray[np.int32]
    merged: NDArray[np.int64]  # (LONG_WORD,): rank << 32 | token of each pair of a short word
    following: NDArray[np.int32]
    previous: NDArray[np.int32]
    heap: NDArray[np.int64]


def scratch_for(size: int) -> Scratch:
    """For words of up to `size` bytes."""
    link = np.empty((3, size), dtype=np.int32)
    return Scratch(
        room_for_words(),
        link[0],
        np.empty(LONG_WORD, dtype=np.int64),
        link[1],
        link[2],
        np.empty(3 * size, dtype=np.int64),
    )


class Encoder:
    """Encodes texts with a fixed vocabulary; safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._merger, self._pattern = merger(vocabulary), NUMBERED[vocabulary.pattern]
        self._bits = 16 if vocabulary.size <= 1 << 16 else 32
        self._idle: list[tuple[NDArray[np.uint64], Scratch]] = []
        self._whole = empty_table()  # the tokens that merges do not lead to, and 1 + their ids
        if vocabulary.whole_words:
            tokens = np.array(list(vocabulary.tokens), dtype=np.int64)
            spelled = batch_of(list(vocabulary.tokens.values()))
            ids, offsets = self.encode(spelled, whole=True)
            lost = [
                at for at in range(len(tokens)) if offsets[at + 1] - offsets[at] > 1 or ids[offsets[at]] != tokens[at]
            ]
            rest = batch_of([vocabulary.tokens[int(tokens[at])] for at in lost])
            self._whole = with_rows(self._whole, *rest, read_only(tokens[lost] + 1))
            self._idle.clear()

    def encode(self, batch: Batch, whole: bool = False) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all texts in a row, and (texts + 1,) offsets of where each text's begin.

        Args:
            whole: each text is a word; the pattern does not cut it.
        """
        try:
            kept, scratch = self._idle.pop()
        except IndexError:  # another thread has it
            kept, scratch = np.zeros((KEPT_WORDS, 4), dtype=np.uint64), scratch_for(1 << 12)
        document, start, filled, classes = 0, int(batch.offsets[0]), 0, character_classes()
        ids = np.empty(int(batch.offsets[-1]) - start + 1, dtype=np.int32)
        offsets = np.zeros(len(batch.offsets), dtype=np.int64)
        while True:
            document, start, filled, size = _encode(
                batch.text,
                batch.offsets,
                document,
                start,
                UNCUT if whole else self._pattern,
                classes,
                self._merger,
                self._whole,
                kept,
                self._bits,
                scratch,
                ids,
                filled,
                offsets,
            )
            if not size:
                break
            scratch = scratch_for(max(size, 2 * len(scratch.tokens)))
        self._idle.append((kept, scratch if len(scratch.tokens) <= LARGE else scratch_for(1 << 12)))
        return ids[:filled].copy(), offsets


@lean_kernel
def _encode(
    text: NDArray,
    text_offsets: NDArray,
    document: Integer,
    start: Integer,
    pattern: Integer,
    classes: NDArray,
    merger: Merger,
    whole: WordTable,
    kept: NDArray,
    bits: Integer,
    scratch: Scratch,
    ids: NDArray,
    filled: Integer,
    offsets: NDArray,
) -> tuple[Integer, Integer, Integer, Integer]:
    """Encode texts, from byte `start` of `text` in `document` on; `filled` of `ids` are there already.

    Returns the document and the byte where it stopped, how many ids there are, and, if that is at a word too large for
    `scratch`, the word's bytes (else 0).
    """
    base, table_of_classes, keys = np.int64(text.ctypes.data), np.int64(classes.ctypes.data), np.int64(kept.ctypes.data)
    mask, per_number, shift = kept.shape[0] - 1, 64 // bits, np.uint64(bits)
    one_id = np.uint64((1 << bits) - 1)
    at = base + start
    while document < text_offsets.size - 1:
        end = base + text_offsets[document + 1]
        while at < end:
            cut = cut_words(at, end, pattern, table_of_classes, scratch.words, keys, np.int64(32), mask)
            for word in range(cut):
                size = np.int64(scratch.words[word, SIZE])
                if size > SHORT:
                    if size > scratch.tokens.size:
                        return document, at - base, filled, size
                    count = _merge_word(at, size, merger, whole, scratch)
                    for index in range(count):
                        ids[filled + index] = scratch.tokens[index]
                    filled += count
                    at += size
                    continue
                first, second = scratch.words[word, FIRST], scratch.words[word, SECOND]
                home = np.int64(scratch.words[word, HOME])
                slot = home if _is_kept(keys + 32 * home, first, second) else home ^ 1
                if slot == home or _is_kept(keys + 32 * slot, first, second):
                    count = np.int64(kept[slot, 1] >> _COUNT_SHIFT)
                    some = kept[slot, 2]
                    ids[filled], ids[filled + 1] = some & one_id, (some >> shift) & one_id  # mostly all there are
                    for index in range(2, count):
                        some = kept[slot, 2 + index // per_number]
                        ids[filled + index] = (some >> shift * np.uint64(index % per_number)) & one_id
                else:
                    count = _merge_word(at, size, merger, whole, scratch)
                    if count <= 2 * per_number:  # the word that came before moves aside, the one there goes
                        for column in range(4):
                            kept[home ^ 1, column] = kept[home, column]
                        kept[home, 0], kept[home, 1] = first, second | (np.uint64(count) << _COUNT_SHIFT)
                        kept[home, 2] = kept[home, 3] = 0
                    for index in range(count):
                        token = np.uint64(scratch.tokens[index])
                        ids[filled + index] = token
                        if count <= 2 * per_number:
                            kept[home, 2 + index // per_number] |= token << shift * np.uint64(index % per_number)
                filled += count
                at += size
        document += 1
        offsets[document] = filled
    return document, at - base, filled, 0


@lean_helper
def _is_kept(slot: Integer, first: Integer, second: Integer) -> bool:
    return load64(slot) == first and load64(slot + 8) & _KEY == second


@lean_helper
def _merge_word(at: Integer, size: Integer, merger: Merger, whole: WordTable, scratch: Scratch) -> Integer:
    """Put the tokens of the word at an address into `scratch.tokens`, and return how many there are."""
    if whole.size[WORDS] > 0:
        slot = find(whole, at, size)
        if whole.counts[slot] > 0:
            scratch.tokens[0] = whole.counts[slot] - 1
            return 1
    for offset in range(size):
        scratch.tokens[offset] = merger.byte_ids[load8(at + offset)]
    if size > LONG_WORD:
        return merge_long(size, merger, scratch)
    for offset in range(size - 1):
        scratch.merged[offset] = merger.of_bytes[(load8(at + offset) << 8) | load8(at + offset + 1)]
    return merge_short(size, merger, scratch)


@lean_helper
def merge_short(count: Integer, merger: Merger, scratch: Scratch) -> Integer:
    """Merge the first `count` of `scratch.tokens`, of whose pairs `scratch.merged` holds what they merge into."""
    tokens, merged = scratch.tokens, scratch.merged
    pairs, mask = np.int64(merger.pairs.ctypes.data), merger.pairs.shape[0] - 1
    while count > 1:
        best, least = 0, merged[0]
        for at in range(1, count - 1):
            if merged[at] < least:
                best, least = at, merged[at]
        if least == NO_MERGE:
            break
        tokens[best] = least & 0xFFFFFFFF
        count -= 1
        for at in range(best + 1, count):
            tokens[at] = tokens[at + 1]
            merged[at - 1] = merged[at]
        # The loop moved the entry of `best + 1` into `best`; both neighbours of the new token change.
        if best > 0:
            merged[best - 1] = merged_of(pairs, mask, np.int64(tokens[best - 1]), np.int64(tokens[best]))
        if best < count - 1:
            merged[best] = merged_of(pairs, mask, np.int64(tokens[best]), np.int64(tokens[best + 1]))
    return count


@lean_helper
def merge_long(length: Integer, merger: Merger, scratch: Scratch) -> Integer:
    """As `merge_short`, with a heap of (rank, index), both in one number."""
    tokens, following, previous, heap = scratch.tokens, scratch.following, scratch.previous, scratch.heap
    pairs, mask = np.int64(merger.pairs.ctypes.data), merger.pairs.shape[0] - 1
    size = np.int64(0)
    for at in range(length):
        following[at], previous[at] = at + 1, at - 1
    for at in range(length - 1):
        size = _rise(merged_of(pairs, mask, np.int64(tokens[at]), np.int64(tokens[at + 1])), at, heap, size)
    while size > 0:
        rank, at = heap[0] >> 32, heap[0] & 0xFFFFFFFF
        size = _drop_least(heap, size)
        after = np.int64(following[at])
        if tokens[at] < 0 or after >= length:
            continue  # an earlier merge took one of the two
        merged = merged_of(pairs, mask, np.int64(tokens[at]), np.int64(tokens[after]))
        if merged >> 32 != rank:
            continue
        tokens[at], tokens[after] = merged & 0xFFFFFFFF, -1
        beyond, before = np.int64(following[after]), np.int64(previous[at])
        following[at] = beyond
        if beyond < length:
            previous[beyond] = at
            size = _rise(merged_of(pairs, mask, np.int64(tokens[at]), np.int64(tokens[beyond])), at, heap, size)
        if before >= 0:
            size = _rise(merged_of(pairs, mask, np.int64(tokens[before]), np.int64(tokens[at])), before, heap, size)
    count = 0
    for at in range(length):
        if tokens[at] >= 0:
            tokens[count] = tokens[at]
            count += 1
    return count


@lean_helper
def _rise(merged: Integer, index: Integer, heap: NDArray, size: Integer) -> Integer:
    """Put the pair at `index` in the heap if it can be merged, and return the heap's size."""
    if merged == NO_MERGE:
        return size
    entry = (merged >> 32 << 32) | index
    at = size
    while at > 0 and entry < heap[(at - 1) // 2]:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = entry
    return size + 1


@lean_helper
def _drop_least(heap: NDArray, size: Integer) -> Integer:
    size -= 1
    entry = heap[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if entry <= heap[child]:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
    return size


@lean_helper
def merged_of(pairs: Integer, mask: Integer, left: Integer, right: Integer) -> Integer:
    """For two tokens `rank << 32 | token` of what they merge into, or NO_MERGE; `pairs` is an address."""
    slot = slot_of(pairs, mask, left, right)
    return np.int64(load64(pairs + 16 * slot + 8)) if load64(pairs + 16 * slot) != _FREE else NO_MERGE


@lean_helper
def slot_of(pairs: Integer, mask: Integer, left: Integer, right: Integer) -> Integer:
    """The slot that holds a pair, or the empty one where it belongs."""
    key = (np.uint64(left) << HALF) | np.uint64(right)
    slot = np.int64(folded(key * GOLDEN)) & mask
    while True:
        found = load64(pairs + 16 * slot)
        if found in (key, _FREE):
            return slot
        slot = (slot + 1) & mask


@lean_kernel
def _fill(table: NDArray, pairs: NDArray, tokens: NDArray) -> None:
    for rank in range(pairs.shape[0]):
        slot = slot_of(np.int64(table.ctypes.data), table.shape[0] - 1, pairs[rank, 0], pairs[rank, 1])
        if table[slot, 0] == -1:  # of a pair that is given twice the first counts
            table[slot, 0], table[slot, 1] = (pairs[rank, 0] << 32) | pairs[rank, 1], (rank << 32) | tokens[rank]


@lean_kernel
def _fill_bytes(pairs: NDArray, byte_ids: NDArray, of_bytes: NDArray) -> None:
    for pair in range(of_bytes.size):
        left, right = np.int64(byte_ids[pair >> 8]), np.int64(byte_ids[pair & 0xFF])
        of_bytes[pair] = merged_of(np.int64(pairs.ctypes.data), pairs.shape[0] - 1, left, right)
