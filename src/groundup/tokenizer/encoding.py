"""From words to token ids: the merges applied in the order in which they were learnt.

A word of a few bytes, as nearly all are, is merged by looking over its pairs again and again. That costs the square of
its length, so a longer one (a run of one letter, a line of dashes, base64) is merged with a heap of its pairs, in
about length x log(length).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundup.tokenizer.bpe import BYTES
from groundup.tokenizer.kernel import kernel

LONG_WORD = 100  # bytes; above it the heap is faster
NO_MERGE = 2**31 - 1


class Encoder:
    """Encodes words with a fixed list of merges.

    Args:
        pairs: (merges, 2) int32, the left and the right token of each merge; merge i makes token 256 + i.
    """

    def __init__(self, pairs: NDArray[np.int32]) -> None:
        slots = 1 << max(4, (4 * len(pairs)).bit_length())
        self._keys = np.full(slots, -1, dtype=np.int64)
        self._ids = np.zeros(slots, dtype=np.int32)
        _fill(self._keys, self._ids, np.ascontiguousarray(pairs, dtype=np.int32))

    def encode_words(self, words: Sequence[bytes]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all words in a row, and (words + 1,) offsets of where each word's begin."""
        starts = np.zeros(len(words) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, words), dtype=np.int64, count=len(words)), out=starts[1:])
        ids = np.empty(int(starts[-1]), dtype=np.int32)
        offsets = np.zeros(len(words) + 1, dtype=np.int64)
        _encode(np.frombuffer(b"".join(words), dtype=np.uint8), starts, self._keys, self._ids, ids, offsets)
        return ids[: offsets[-1]], offsets


@kernel
def _slot_of(left: int, right: int, keys: NDArray) -> int:
    mask = keys.size - 1
    key = (left << 32) | right
    mixed = key * -7046029254386353131
    slot = (mixed ^ (mixed >> 32)) & mask
    while keys[slot] != key and keys[slot] != -1:
        slot = (slot + 1) & mask
    return slot


@kernel
def _fill(keys: NDArray, ids: NDArray, pairs: NDArray) -> None:
    for merge in range(pairs.shape[0]):
        slot = _slot_of(pairs[merge, 0], pairs[merge, 1], keys)
        keys[slot] = (pairs[merge, 0] << 32) | pairs[merge, 1]
        ids[slot] = BYTES + merge


@kernel
def _merged(left: int, right: int, keys: NDArray, ids: NDArray) -> int:
    """The token that two tokens merge into, or NO_MERGE. Tokens are numbered in the order of the merges."""
    slot = _slot_of(left, right, keys)
    return ids[slot] if keys[slot] != -1 else NO_MERGE


@kernel
def _encode_short(word: NDArray, keys: NDArray, ids: NDArray, tokens: NDArray, merged: NDArray) -> int:
    """Merge `word` in `tokens` and return their number; `merged` is scratch space of the same size."""
    count = word.size
    for at in range(count):
        tokens[at] = word[at]
    for at in range(count - 1):
        merged[at] = _merged(tokens[at], tokens[at + 1], keys, ids)
    while count > 1:
        best = 0
        for at in range(1, count - 1):
            if merged[at] < merged[best]:
                best = at
        if merged[best] == NO_MERGE:
            break
        tokens[best] = merged[best]
        for at in range(best + 1, count - 1):
            tokens[at] = tokens[at + 1]
            merged[at - 1] = merged[at]
        count -= 1
        # The loop above moved the entry of `best + 1` into `best`; both neighbours of the new token change.
        if best > 0:
            merged[best - 1] = _merged(tokens[best - 1], tokens[best], keys, ids)
        if best < count - 1:
            merged[best] = _merged(tokens[best], tokens[best + 1], keys, ids)
    return count


@kernel
def _rise(entry: int, heap: NDArray, size: int) -> int:
    at = size
    while at > 0 and entry < heap[(at - 1) // 2]:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = entry
    return size + 1


@kernel
def _drop_least(heap: NDArray, size: int) -> int:
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


@kernel
def _encode_long(word: NDArray, keys: NDArray, ids: NDArray, tokens: NDArray) -> int:
    """As `_encode_short`, with a heap of (token merged into, position), both in one number."""
    length = word.size
    following, previous = np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)
    heap = np.empty(3 * length, dtype=np.int64)
    size = 0
    for at in range(length):
        tokens[at], following[at], previous[at] = word[at], at + 1, at - 1
    for at in range(length - 1):
        new = _merged(tokens[at], tokens[at + 1], keys, ids)
        if new != NO_MERGE:
            size = _rise((new << 32) | at, heap, size)
    while size > 0:
        new, at = heap[0] >> 32, heap[0] & 0xFFFFFFFF
        size = _drop_least(heap, size)
        after = following[at]
        if tokens[at] < 0 or after >= length or _merged(tokens[at], tokens[after], keys, ids) != new:
            continue  # an earlier merge took one of the two
        tokens[at], tokens[after] = new, -1
        beyond = following[after]
        following[at] = beyond
        if beyond < length:
            previous[beyond] = at
            new = _merged(tokens[at], tokens[beyond], keys, ids)
            if new != NO_MERGE:
                size = _rise((new << 32) | at, heap, size)
        before = previous[at]
        if before >= 0:
            new = _merged(tokens[before], tokens[at], keys, ids)
            if new != NO_MERGE:
                size = _rise((new << 32) | before, heap, size)
    count = 0
    for at in range(length):
        if tokens[at] >= 0:
            tokens[count] = tokens[at]
            count += 1
    return count


@kernel
def _encode(text: NDArray, starts: NDArray, keys: NDArray, ids: NDArray, out: NDArray, offsets: NDArray) -> None:
    merged = np.empty(LONG_WORD, dtype=np.int64)
    filled = 0
    for index in range(starts.size - 1):
        word = text[starts[index] : starts[index + 1]]
        tokens = out[filled : filled + word.size]
        if word.size <= LONG_WORD:
            filled += _encode_short(word, keys, ids, tokens, merged)
        else:
            filled += _encode_long(word, keys, ids, tokens)
        offsets[index + 1] = filled
