"""Training of byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909; on bytes as in GPT-2).

Tokens 0 to 255 are the bytes. Every step takes the pair of neighbouring tokens that occurs most often in the words,
each word counted as often as the text has it, and makes it a token: merge i becomes token 256 + i. Of pairs that occur
equally often the one with the smaller ids, the left one first, is taken, so the merges depend on nothing but the
counts: neither on the order of the words nor on the machine. (rustbpe breaks ties in the same way. So does the
`tokenizers` library, but it numbers the bytes in the order of the characters that spell them.)

How it is fast: all words lie in one array with a cell for each byte. A token is at the position of its first byte; at
the position of its last byte is its length, so that the token before the next one is found. Two tokens become
neighbours only in the step that makes the younger of them, so all positions of a pair are known when that
step ends: they are written down one after the other, for pairs that are frequent enough to be merged at all. A heap
orders the pairs by count; counts of pairs already in the heap only ever fall, so an entry that shows an outdated count
is put back with the true one when it comes to the top. A merge then touches only the positions of its pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.kernels.bits import prefetch
from groundup.kernels.compilation import Integer, lean_helper, lean_kernel
from groundup.progress import Progress, Silent
from groundup.tokenizer.vocabulary import BYTES
from groundup.tokenizer.word_counts import WordCounts, Words

MERGES_PER_CALL = 256  # between two advances of the progress bar
AHEAD = 12  # positions whose memory is being fetched
FIRST_CAPACITY = 1 << 16  # pairs that the tables have room for at first,
PER_PAIR = 8  # or one for so many bytes of the words: mostly enough (memory not written to costs nothing)
MAX_BYTES = 2**31 - 1  # of distinct words: positions are 32-bit

TOKEN, WORD = range(2)  # of a position
KEY, COUNT, FIRST, LENGTH = range(4)  # of a pair
ENTRY_COUNT, ENTRY_PAIR = range(2)  # of an entry of the heap
PAIRS, HEAP, POSITIONS = range(3)  # what `_State.size` counts
OTHER, WEIGHT, NUMBER, FREE = range(4)  # of a pair that the present step makes


@dataclass(frozen=True)
class Merges:
    """The outcome of training, in the order of the merges."""

    pairs: NDArray[np.int32]  # (merges, 2): the left and the right token of each
    counts: NDArray[np.int64]  # (merges,): how often the pair occurred when it was merged


def train_merges(
    words: WordCounts | Words | Mapping[str, int] | Mapping[bytes, int],
    merges: int,
    min_frequency: int = 2,
    progress: Progress | None = None,
) -> Merges:
    """Learn up to `merges` merges from words and their counts.

    Fewer come back where no pair is left that occurs `min_frequency` times. Memory is about 25 bytes per byte of the
    distinct words.

    Raises:
        GroundupError: the distinct words are 2 GiB or more together.
    """
    min_frequency = max(1, min_frequency)
    state = _first_state(Words.of(words), merges, min_frequency)
    del words  # nobody may need the table any more
    pairs, counts = np.empty((merges, 2), dtype=np.int32), np.empty(merges, dtype=np.int64)
    done = 0
    with (progress or Silent()).task("learn merges", merges, "merges") as task:
        while done < merges and state.size[HEAP]:
            before = done
            done, room = _merge(state, pairs, counts, done, min(merges, done + MERGES_PER_CALL), min_frequency)
            if room:
                state = _with_room(state, room)
            task.advance(done - before)
    return Merges(pairs[:done].copy(), counts[:done].copy())


class _State(NamedTuple):
    """The arrays that the kernels work on."""

    cells: NDArray[np.int32]  # (bytes of the words, 2): token (within one: less than 0, at its end - its bytes), word
    lengths: NDArray[np.int32]  # (tokens,): bytes of each
    weights: NDArray[np.int64]  # (words,): the count of each
    pairs: NDArray[np.int64]  # (capacity, 4): left << 32 | right, count, where its positions in `found` begin, how many
    found: NDArray[np.int32]  # positions of pairs, those of a pair contiguous and rising
    slots: NDArray[np.int32]  # (2 x capacity,): the number of a pair, -1 for none; open addressing
    heap: NDArray[np.int64]  # (capacity, 2): a pair's count when it was put there, and its number
    size: NDArray[np.int64]  # how many pairs, entries of the heap and entries of `found` there are
    # of one step
    made: NDArray[np.int64]  # (pairs, 4): the other token (-1 - it on the right), weight, number, next position
    made_with: NDArray[np.int32]  # (tokens, 2): the number of the pair with this token to the left, to the right
    made_at: NDArray[np.int32]  # (cells, 2): the number of the pair and the position


def _first_state(words: Words, merges: int, min_frequency: int) -> _State:
    """The words as bytes, and their pairs."""
    total = len(words.text)
    if total > MAX_BYTES:
        raise GroundupError(
            f"the distinct words of the text are {total:,} bytes together, too many for the tokenizer's training",
            do="raise tokenizer.min_word_count, or train it on a part of the corpus",
        )
    cells = np.empty((total, 2), dtype=np.int32)
    of_bytes = np.zeros((BYTES * BYTES, 2), dtype=np.int64)
    _lay_out(words.text, words.offsets, words.counts, cells, of_bytes)
    frequent = np.flatnonzero(of_bytes[:, 0] >= min_frequency)
    longest = int(of_bytes[frequent, 1].max(initial=0))
    capacity = max(FIRST_CAPACITY, 1 << (max(len(frequent), total // PER_PAIR)).bit_length())
    state = _State(
        cells=cells,
        lengths=np.ones(BYTES + merges, dtype=np.int32),
        weights=words.counts,
        pairs=np.empty((capacity, 4), dtype=np.int64),
        # A merge at a position brings two new pairs at most and takes a token away for good.
        found=np.empty(3 * total, dtype=np.int32),
        slots=np.full(2 * capacity, -1, dtype=np.int32),
        heap=np.empty((capacity, 2), dtype=np.int64),
        size=np.zeros(3, dtype=np.int64),
        made=np.empty((2 * min(longest, BYTES + merges) + 2, 4), dtype=np.int64),
        made_with=np.full((BYTES + merges, 2), -1, dtype=np.int32),
        made_at=np.empty((2 * longest, 2), dtype=np.int32),
    )
    _find(state, of_bytes, frequent, np.full(BYTES * BYTES, -1))
    return state


def _with_room(state: _State, pairs: int) -> _State:
    """The same state with tables for at least `pairs` pairs, and for twice as many as before."""
    capacity = 1 << max((pairs - 1).bit_length(), len(state.pairs).bit_length())
    more = ((0, capacity - len(state.pairs)), (0, 0))
    grown = state._replace(
        pairs=np.pad(state.pairs, more), heap=np.pad(state.heap, more), slots=np.full(2 * capacity, -1, dtype=np.int32)
    )
    _fill_slots(grown)
    return grown


@lean_kernel
def _lay_out(text: NDArray, offsets: NDArray, counts: NDArray, cells: NDArray, of_bytes: NDArray) -> None:
    """Lay out the bytes of the words; count the pairs of bytes, and their positions."""
    for word in range(offsets.size - 1):
        for at in range(offsets[word], offsets[word + 1]):
            cells[at, TOKEN], cells[at, WORD] = text[at], word
            if at > offsets[word]:
                pair = (np.int64(text[at - 1]) << 8) | np.int64(text[at])
                of_bytes[pair, 0] += counts[word]
                of_bytes[pair, 1] += 1


@lean_kernel
def _find(state: _State, of_bytes: NDArray, frequent: NDArray, free: NDArray) -> None:
    """Put the frequent pairs of bytes in the tables, and write down their positions; `free` is -1 for each pair."""
    for pair in frequent:
        key, length = ((pair >> 8) << 32) | (pair & 0xFF), of_bytes[pair, 1]
        free[pair] = state.size[POSITIONS]
        _add_pair(state, key, of_bytes[pair, 0], state.size[POSITIONS], length)
        state.size[POSITIONS] += length
    cells = state.cells
    for at in range(cells.shape[0] - 1):
        if cells[at, WORD] == cells[at + 1, WORD]:
            pair = (np.int64(cells[at, TOKEN]) << 8) | np.int64(cells[at + 1, TOKEN])
            if free[pair] >= 0:
                state.found[free[pair]] = at
                free[pair] += 1


@lean_kernel
def _fill_slots(state: _State) -> None:
    for pair in range(state.size[PAIRS]):
        state.slots[_slot_of(state, state.pairs[pair, KEY])] = pair


@lean_helper
def _slot_of(state: _State, key: Integer) -> Integer:
    """The slot that holds the pair `key`, or the empty one where it belongs."""
    mask = state.slots.size - 1
    mixed = key * -7046029254386353131  # 2**64 / golden ratio, as a signed number
    slot = (mixed ^ (mixed >> 32)) & mask
    while state.slots[slot] >= 0 and state.pairs[state.slots[slot], KEY] != key:
        slot = (slot + 1) & mask
    return slot


@lean_helper
def _add_pair(state: _State, key: Integer, count: Integer, first: Integer, length: Integer) -> Integer:
    """Put a new pair in the table and in the heap."""
    pair = state.size[PAIRS]
    state.size[PAIRS] += 1
    state.slots[_slot_of(state, key)] = pair
    state.pairs[pair, KEY], state.pairs[pair, COUNT] = key, count
    state.pairs[pair, FIRST], state.pairs[pair, LENGTH] = first, length
    at = state.size[HEAP]
    state.size[HEAP] += 1
    while at > 0 and _precedes(state, count, pair, (at - 1) // 2):
        parent = (at - 1) // 2
        state.heap[at, ENTRY_COUNT], state.heap[at, ENTRY_PAIR] = (
            state.heap[parent, ENTRY_COUNT],
            state.heap[parent, ENTRY_PAIR],
        )
        at = parent
    state.heap[at, ENTRY_COUNT], state.heap[at, ENTRY_PAIR] = count, pair
    return pair


@lean_helper
def _lower(state: _State, left: Integer, right: Integer, weight: Integer) -> None:
    """Count a pair `weight` times less. One that is not in the table is too rare to matter."""
    pair = state.slots[_slot_of(state, (left << 32) | right)]
    if pair >= 0:
        state.pairs[pair, COUNT] -= weight


@lean_helper
def _precedes(state: _State, count: Integer, pair: Integer, entry: Integer) -> bool:
    """Whether a pair with this count is merged before an entry of the heap: higher count, then smaller ids."""
    other = state.heap[entry, ENTRY_COUNT]
    return count > other or (
        count == other and state.pairs[pair, KEY] < state.pairs[state.heap[entry, ENTRY_PAIR], KEY]
    )


@lean_helper
def _sink(state: _State, count: Integer, pair: Integer) -> None:
    """Replace the heap's top by a pair, and let it sink to where it belongs."""
    at, size = 0, state.size[HEAP]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _precedes(
            state, state.heap[child + 1, ENTRY_COUNT], state.heap[child + 1, ENTRY_PAIR], child
        ):
            child += 1
        if _precedes(state, count, pair, child):
            break
        state.heap[at, ENTRY_COUNT], state.heap[at, ENTRY_PAIR] = (
            state.heap[child, ENTRY_COUNT],
            state.heap[child, ENTRY_PAIR],
        )
        at = child
    state.heap[at, ENTRY_COUNT], state.heap[at, ENTRY_PAIR] = count, pair


@lean_kernel
def _merge(
    state: _State, merged: NDArray, merged_counts: NDArray, done: Integer, until: Integer, min_frequency: Integer
) -> tuple[Integer, Integer]:
    """Merge the best pair, from merge number `done` up to `until`.

    Returns how many merges are done, and, where the tables may be too small for the next, the room that it needs.
    """
    while done < until and state.size[HEAP] > 0:
        best = state.heap[0, ENTRY_PAIR]
        count = state.pairs[best, COUNT]
        if count >= min_frequency and count != state.heap[0, ENTRY_COUNT]:  # it fell since it was put there
            _sink(state, count, best)
            continue
        if count >= min_frequency:
            room = state.size[PAIRS] + min(2 * state.pairs[best, LENGTH], state.made.shape[0])
            if room > state.pairs.shape[0]:
                return done, room
        state.size[HEAP] -= 1
        last = state.size[HEAP]
        if last > 0:
            _sink(state, state.heap[last, ENTRY_COUNT], state.heap[last, ENTRY_PAIR])
        if count < min_frequency:
            continue
        key = state.pairs[best, KEY]
        merged[done, 0], merged[done, 1], merged_counts[done] = key >> 32, key & 0xFFFFFFFF, count
        _merge_pair(state, best, BYTES + done, min_frequency)
        done += 1
    return done, 0


@lean_helper
def _merge_pair(state: _State, best: Integer, new: Integer, min_frequency: Integer) -> None:
    """Make a pair the token `new` wherever it occurs, and put the pairs that this brings in the tables."""
    cells, made = state.cells, state.made
    left, right = state.pairs[best, KEY] >> 32, state.pairs[best, KEY] & 0xFFFFFFFF
    first, length = state.pairs[best, FIRST], state.pairs[best, LENGTH]
    pairs, found = 0, 0
    cells_at = np.int64(cells.ctypes.data)
    left_bytes, right_bytes = np.int64(state.lengths[left]), np.int64(state.lengths[right])
    state.lengths[new] = left_bytes + right_bytes
    for index in range(first, first + length):
        if index + AHEAD < first + length:  # a position is rarely near the one before
            prefetch(cells_at + 8 * np.int64(state.found[index + AHEAD]))
        at = np.int64(state.found[index])
        after, word = at + left_bytes, cells[at, WORD]
        if cells[at, TOKEN] != left or after >= cells.shape[0]:
            continue  # an earlier merge took it
        if cells[after, TOKEN] != right or cells[after, WORD] != word:
            continue  # an earlier merge took its neighbour
        weight = state.weights[word]
        beyond: Integer = after + right_bytes
        if beyond == cells.shape[0] or cells[beyond, WORD] != word:
            beyond = -1
        before: Integer = at - 1
        if at == 0 or cells[before, WORD] != word:
            before = -1
        elif cells[before, TOKEN] < 0:
            before = at + np.int64(cells[before, TOKEN])
        cells[at, TOKEN], cells[after, TOKEN] = new, -1
        cells[after + right_bytes - 1, TOKEN] = -left_bytes - right_bytes
        pair: Integer
        for side in range(2):  # the pair with the token to the left, the pair with the token to the right
            neighbour = beyond if side else before
            if neighbour < 0:
                continue
            token = np.int64(cells[neighbour, TOKEN])
            pair = np.int64(state.made_with[token, side])
            if pair < 0:
                pair = pairs
                pairs += 1
                state.made_with[token, side] = pair
                made[pair, OTHER], made[pair, WEIGHT], made[pair, NUMBER] = -1 - token if side else token, 0, 0
            made[pair, WEIGHT] += weight
            made[pair, NUMBER] += 1
            state.made_at[found, 0], state.made_at[found, 1] = pair, at if side else neighbour
            found += 1
    state.pairs[best, COUNT] = 0  # a run such as `aaa` counts overlapping pairs, which can't all be merged

    for pair in range(pairs):
        other, weight, number = made[pair, OTHER], made[pair, WEIGHT], made[pair, NUMBER]
        made[pair, FREE] = -1
        if weight >= min_frequency:
            made[pair, FREE] = state.size[POSITIONS]
            key = (new << 32) | (-1 - other) if other < 0 else (other << 32) | new
            _add_pair(state, key, weight, state.size[POSITIONS], number)
            state.size[POSITIONS] += number
    for index in range(found):
        free = made[state.made_at[index, 0], FREE]
        if free >= 0:
            state.found[free] = state.made_at[index, 1]
            made[state.made_at[index, 0], FREE] += 1
    # As often as a new pair came up, the one that was there before went. (In a run of the pair, that is a pair with
    # `new`, so this comes after all new pairs are in the table.)
    for pair in range(pairs):
        other, weight = made[pair, OTHER], made[pair, WEIGHT]
        if other < 0:
            state.made_with[-1 - other, 1] = -1
            _lower(state, right, -1 - other, weight)
        else:
            state.made_with[other, 0] = -1
            _lower(state, other, left, weight)
