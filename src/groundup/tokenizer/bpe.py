"""Training of byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909; on bytes as in GPT-2).

Tokens 0 to 255 are the bytes. Every step takes the pair of neighbouring tokens that occurs most often in the words,
each word counted as often as the text has it, and makes it a token: merge i becomes token 256 + i. Of pairs that occur
equally often the one with the smaller ids, the left one first, is taken, so the merges depend on nothing but the
counts: neither on the order of the words nor on the machine.

How it is fast: all words lie in one array of symbols, chained by `following` and `previous`. A table knows of every
pair its count and the chain of positions at which it came up. A heap orders the pairs by count; counts of pairs
already in the heap only ever fall, so an entry that shows an outdated count is put back with the true one when it
comes to the top. A merge then touches only the positions of its pair, and costs as much as the text changes by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.progress import Progress, Silent
from groundup.tokenizer.kernel import Integer, kernel

BYTES = 256  # tokens 0 to 255
MERGES_PER_CALL = 256  # between two advances of the progress bar
FIRST_CAPACITY = 1 << 17  # pairs that the tables have room for at first: all pairs of bytes, and as many again
MOST_BYTES = (2**31 - 1) // 3  # of distinct words: positions and chains are 32-bit

PAIRS, HEAP, OCCURRENCES = 0, 1, 2  # what `_State.size` counts
FIRST, LAST, LENGTH = 0, 1, 2  # what `_State.chains` tells of a pair's occurrences


@dataclass(frozen=True)
class Merges:
    """The outcome of training, in the order of the merges."""

    pairs: NDArray[np.int32]  # (merges, 2): the left and the right token of each
    counts: NDArray[np.int64]  # (merges,): how often the pair occurred when it was merged


def train_merges(
    words: Mapping[str, int] | Mapping[bytes, int],
    merges: int,
    min_frequency: int = 2,
    progress: Progress | None = None,
) -> Merges:
    """Learn up to `merges` merges from a table of words and their counts.

    Fewer come back where no pair is left that occurs `min_frequency` times. Memory is about 45 bytes per byte of the
    distinct words.

    Raises:
        GroundupError: the distinct words are 700 MB or more together.
    """
    spelled = [word.encode() if isinstance(word, str) else word for word in words]
    state = _state_of(spelled, np.fromiter(words.values(), dtype=np.int64, count=len(spelled)))
    least = max(1, min_frequency)
    _count_pairs(state, least)
    pairs, counts = np.empty((merges, 2), dtype=np.int32), np.empty(merges, dtype=np.int64)
    done = 0
    with (progress or Silent()).task("learn merges", merges, "merges") as task:
        while done < merges and state.size[HEAP]:
            before = done
            done, room = _merge(state, pairs, counts, done, min(merges, done + MERGES_PER_CALL), least)
            if room:
                state = _with_room(state, room)
            task.advance(done - before)
    return Merges(pairs[:done].copy(), counts[:done].copy())


class _State(NamedTuple):
    """The arrays that the kernels work on, all but those of pairs of fixed size."""

    # one entry per byte of the words
    symbols: NDArray[np.int32]  # the token that begins here; -1 within a token
    following: NDArray[np.int32]  # where the next token of the word begins; -1 at its end
    previous: NDArray[np.int32]
    word: NDArray[np.int32]  # the number of the word
    # one entry per word
    weights: NDArray[np.int64]  # its count
    # one entry per occurrence of a pair, also of those that are gone
    occurrences: NDArray[np.int32]  # (3 x bytes, 2): its position; the next occurrence of the pair, -1 for none
    # one entry per pair
    keys: NDArray[np.int64]  # left token x 2**32 + right token
    counts: NDArray[np.int64]
    chains: NDArray[np.int32]  # (pairs, 3): its first and its last occurrence, and how many there are
    # a hash table with open addressing, twice as large as the table of pairs
    slots: NDArray[np.int32]  # the number of the pair; -1 for none
    # a binary heap
    heap: NDArray[np.int32]  # the number of the pair
    heap_counts: NDArray[np.int64]  # its count when it was put there

    size: NDArray[np.int64]  # how many pairs, heap entries and occurrences there are


def _state_of(words: list[bytes], weights: NDArray[np.int64]) -> _State:
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    total = int(lengths.sum())
    if total > MOST_BYTES:
        raise GroundupError(
            f"the distinct words of the text are {total:,} bytes together, too many for the tokenizer's training",
            do="train it on a part of the corpus",
        )
    following, previous = np.arange(1, total + 1, dtype=np.int32), np.arange(-1, total - 1, dtype=np.int32)
    ends = np.cumsum(lengths)[lengths > 0]
    following[ends - 1] = -1
    previous[ends - lengths[lengths > 0]] = -1
    return _State(
        symbols=np.frombuffer(b"".join(words), dtype=np.uint8).astype(np.int32),
        following=following,
        previous=previous,
        word=np.repeat(np.arange(len(words), dtype=np.int32), lengths),
        weights=weights,
        # A merge at a position brings two new pairs at most and takes one symbol away for good.
        occurrences=np.empty((3 * total, 2), dtype=np.int32),
        keys=np.empty(FIRST_CAPACITY, dtype=np.int64),
        counts=np.empty(FIRST_CAPACITY, dtype=np.int64),
        chains=np.empty((FIRST_CAPACITY, 3), dtype=np.int32),
        slots=np.full(2 * FIRST_CAPACITY, -1, dtype=np.int32),
        heap=np.empty(FIRST_CAPACITY, dtype=np.int32),
        heap_counts=np.empty(FIRST_CAPACITY, dtype=np.int64),
        size=np.zeros(3, dtype=np.int64),
    )


def _with_room(state: _State, pairs: int) -> _State:
    """The same state with tables for at least `pairs` pairs, and for twice as many as before."""
    capacity = 1 << max((pairs - 1).bit_length(), len(state.keys).bit_length())
    more = capacity - len(state.keys)
    grown = state._replace(
        keys=np.pad(state.keys, (0, more)),
        counts=np.pad(state.counts, (0, more)),
        chains=np.pad(state.chains, ((0, more), (0, 0))),
        slots=np.full(2 * capacity, -1, dtype=np.int32),
        heap=np.pad(state.heap, (0, more)),
        heap_counts=np.pad(state.heap_counts, (0, more)),
    )
    _fill_slots(grown)
    return grown


@kernel
def _slot_of(state: _State, key: Integer) -> Integer:
    """The slot that holds the pair `key`, or the empty one where it belongs."""
    mask = state.slots.size - 1
    mixed = key * -7046029254386353131  # 2**64 / golden ratio, as a signed number
    slot = (mixed ^ (mixed >> 32)) & mask
    while state.slots[slot] >= 0 and state.keys[state.slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def _fill_slots(state: _State) -> None:
    for pair in range(state.size[PAIRS]):
        state.slots[_slot_of(state, state.keys[pair])] = pair


@kernel
def _add(state: _State, left: Integer, right: Integer, position: Integer, weight: Integer) -> None:
    """Note that a pair stands at `position`. The positions of a pair come in rising order."""
    key = (left << 32) | right
    slot = _slot_of(state, key)
    pair, occurrence = state.slots[slot], state.size[OCCURRENCES]
    state.size[OCCURRENCES] += 1
    state.occurrences[occurrence, 0], state.occurrences[occurrence, 1] = position, -1
    if pair < 0:
        pair = state.size[PAIRS]
        state.size[PAIRS] += 1
        state.slots[slot], state.keys[pair], state.counts[pair] = pair, key, weight
        state.chains[pair, FIRST], state.chains[pair, LENGTH] = occurrence, 1
    else:
        state.counts[pair] += weight
        state.occurrences[state.chains[pair, LAST], 1] = occurrence
        state.chains[pair, LENGTH] += 1
    state.chains[pair, LAST] = occurrence


@kernel
def _remove(state: _State, left: Integer, right: Integer, weight: Integer) -> None:
    """Count one occurrence of a pair less; it stays in the chain and is passed over there."""
    state.counts[state.slots[_slot_of(state, (left << 32) | right)]] -= weight


@kernel
def _precedes(state: _State, count: Integer, pair: Integer, entry: Integer) -> bool:
    """Whether a pair with this count is merged before an entry of the heap: higher count, then smaller ids."""
    other = state.heap_counts[entry]
    return count > other or (count == other and state.keys[pair] < state.keys[state.heap[entry]])


@kernel
def _push(state: _State, pair: int) -> None:
    count, at = state.counts[pair], state.size[HEAP]
    state.size[HEAP] += 1
    while at > 0 and _precedes(state, count, pair, (at - 1) // 2):
        parent = (at - 1) // 2
        state.heap[at], state.heap_counts[at] = state.heap[parent], state.heap_counts[parent]
        at = parent
    state.heap[at], state.heap_counts[at] = pair, count


@kernel
def _sink(state: _State, pair: Integer, count: Integer) -> None:
    """Put a pair in the place of the heap's top and let it sink to where it belongs."""
    at = 0
    while 2 * at + 1 < state.size[HEAP]:
        child = 2 * at + 1
        if child + 1 < state.size[HEAP] and _precedes(
            state, state.heap_counts[child + 1], np.int64(state.heap[child + 1]), child
        ):
            child += 1
        if _precedes(state, count, pair, child):
            break
        state.heap[at], state.heap_counts[at] = state.heap[child], state.heap_counts[child]
        at = child
    state.heap[at], state.heap_counts[at] = pair, count


@kernel
def _drop_top(state: _State) -> None:
    state.size[HEAP] -= 1
    last = state.size[HEAP]
    if last > 0:
        _sink(state, np.int64(state.heap[last]), state.heap_counts[last])


@kernel
def _count_pairs(state: _State, min_frequency: int) -> None:
    """Fill the tables from words that are not merged yet."""
    for at in range(state.symbols.size):
        after = np.int64(state.following[at])
        if after >= 0:
            weight = state.weights[state.word[at]]
            _add(state, np.int64(state.symbols[at]), np.int64(state.symbols[after]), at, weight)
    for pair in range(state.size[PAIRS]):
        if state.counts[pair] >= min_frequency:
            _push(state, pair)


@kernel
def _merge(
    state: _State, merged: NDArray, merged_counts: NDArray, done: int, until: int, min_frequency: int
) -> tuple[int, int]:
    """Merge the best pair, from merge number `done` up to `until`.

    Returns how many merges are done, and, where the tables may be too small for the next, the room that it needs.
    """
    while done < until and state.size[HEAP] > 0:
        best, count = np.int64(state.heap[0]), state.counts[state.heap[0]]
        if count < min_frequency:
            _drop_top(state)
            continue
        if count != state.heap_counts[0]:  # it fell since it was put there
            _sink(state, best, count)
            continue
        room = state.size[PAIRS] + 2 * state.chains[best, LENGTH]
        if room > state.keys.size:
            return done, room
        _drop_top(state)
        left, right, new = state.keys[best] >> 32, state.keys[best] & 0xFFFFFFFF, BYTES + done
        known = state.size[PAIRS]
        occurrence = state.chains[best, FIRST]
        while occurrence >= 0:
            at, occurrence = np.int64(state.occurrences[occurrence, 0]), state.occurrences[occurrence, 1]
            after = state.following[at]
            if state.symbols[at] != left or after < 0 or state.symbols[after] != right:
                continue  # an earlier merge took one of the two
            weight = state.weights[state.word[at]]
            before, beyond = np.int64(state.previous[at]), state.following[after]
            if before >= 0:
                outer = np.int64(state.symbols[before])
                _remove(state, outer, left, weight)
                _add(state, outer, new, before, weight)
            if beyond >= 0:
                outer = np.int64(state.symbols[beyond])
                _remove(state, right, outer, weight)
                _add(state, new, outer, at, weight)
                state.previous[beyond] = at
            state.symbols[at], state.symbols[after], state.following[at] = new, -1, beyond
        merged[done, 0], merged[done, 1], merged_counts[done] = left, right, count
        state.counts[best] = 0  # a run such as `aaa` counts overlapping pairs, which can't all be merged
        for pair in range(known, state.size[PAIRS]):
            if state.counts[pair] >= min_frequency:
                _push(state, pair)
        done += 1
    return done, 0
