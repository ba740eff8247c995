"""Sets of shingles: read from the files a block at a time, sorted, and compared."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.fingerprints import read_shingles
from groundup.corpus.duplicates.minhash import Hashes
from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import Integer, helper, kernel

Numbers = NDArray[np.int32]

_GAP = 2048  # shingles between two documents that are sooner read over than skipped
_RUN = 1 << 20  # shingles that are read at once, at most, but for longer documents


class ShingleRanges(NamedTuple):
    """Where the shingles of each document lie."""

    files: Sequence[Path]
    file_of: Numbers  # [documents]
    begin: Offsets  # [documents] counted in shingles from the beginning of the file
    counts: Offsets  # [documents] shingles with repetitions


class ShingleSets:
    """The sets of some documents at a time, in one array that is as large at the end as at the beginning.

    The array has two regions: a block of documents is loaded into the first, and visitors that these are to be
    compared with into the second.

    Args:
        ranges: where the shingles lie.
        room: shingles that are held at a time; more only if a document is longer than a quarter of it.
    """

    def __init__(self, ranges: ShingleRanges, room: int) -> None:
        self._ranges, self.counts = ranges, ranges.counts
        self._by_file = np.empty(len(self.counts), dtype=np.int64)  # the rank of each in the order of the files
        self._by_file[np.lexsort((ranges.begin, ranges.file_of))] = np.arange(len(self.counts))
        longest, together = int(self.counts.max(initial=0)), int(self.counts.sum())
        room = min(room, 2 * together + 8)
        self.block_room = max(room - room // 4, longest)
        self._visitor_room = max(room // 4, longest)
        self.shingles = np.empty(self.block_room + self._visitor_room, dtype=np.uint32)
        self.starts = np.full(len(self.counts), -1, dtype=np.int64)  # in `shingles`; -1: not there
        self.lengths = np.zeros(len(self.counts), dtype=np.int64)
        self._block = np.zeros(0, dtype=np.int64)
        self._visitors: list[NDArray[np.int64]] = []
        self._visitors_end = self.block_room

    def load(self, documents: NDArray[np.int64]) -> None:
        """Forget all, and hold these: their `counts` must not exceed `block_room`."""
        self.starts[self._block] = -1
        self._forget_visitors()
        self._block = documents
        self._read(documents, 0)

    def visit(self, documents: NDArray[np.int64]) -> None:
        """Hold as many of these too as there is room for, but at least the first; other visitors may be forgotten."""
        counts = np.cumsum(self.counts[documents])
        if self._visitors_end + counts[0] > len(self.shingles):
            self._forget_visitors()
        fitting = int(np.searchsorted(counts, len(self.shingles) - self._visitors_end, side="right"))
        self._visitors.append(documents[:fitting])
        self._visitors_end = self._read(documents[:fitting], self._visitors_end)

    def _forget_visitors(self) -> None:
        for documents in self._visitors:
            self.starts[documents] = -1
        self._visitors.clear()
        self._visitors_end = self.block_room

    def _read(self, documents: NDArray[np.int64], at: int) -> int:
        """Read documents in the order of the files into `shingles` from `at` on; returns where they end."""
        documents = documents[np.argsort(self._by_file[documents])]
        file_of = self._ranges.file_of[documents]
        cuts = [0, *(np.flatnonzero(np.diff(file_of)) + 1).tolist(), len(documents)]
        for first, last in pairwise(cuts) if len(documents) else ():
            with self._ranges.files[file_of[first]].open("rb", buffering=0) as file:
                at = self._read_file(file, documents[first:last], at)
        return at

    def _read_file(self, file: IO[bytes], documents: NDArray[np.int64], at: int) -> int:
        """Read documents of one file; those that lie close together at once."""
        begin = self._ranges.begin[documents]
        end = begin + self.counts[documents]
        first = 0
        while first < len(documents):
            last = first + 1
            while last < len(documents) and begin[last] - end[last - 1] <= _GAP and end[last] - begin[first] <= _RUN:
                last += 1
            raw = read_shingles(file, 4 * int(begin[first]), int(end[last - 1] - begin[first]))
            positions = begin[first:last] - begin[first], end[first:last] - begin[first]
            at = make_sets(raw, *positions, self.shingles, at, documents[first:last], self.starts, self.lengths)
            first = last
        return at


# ---- compiled ----

_STEPS = 16  # of a comparison, between two looks whether it can still succeed
_FEW = 48  # below it insertion sort is quicker than radix sort


@kernel
def make_sets(
    raw: Hashes,
    begins: Offsets,
    ends: Offsets,
    out: Hashes,
    at: int,
    documents: Offsets,
    starts: Offsets,
    lengths: Offsets,
) -> int:
    """Write `raw[begins[i]:ends[i]]`, sorted and each once, to `out` from `at` on, for each of `documents`.

    Where each starts and how long it is goes to `starts` and `lengths`, which are indexed by document.

    Returns:
        Where the last one ends.
    """
    longest = 0
    for one in range(documents.size):
        longest = max(longest, ends[one] - begins[one])
    first, other = np.empty(longest, dtype=np.uint32), np.empty(longest, dtype=np.uint32)
    counts = np.empty((4, 256), dtype=np.int64)
    for one in range(documents.size):
        size = ends[one] - begins[one]
        for position in range(size):
            first[position] = raw[begins[one] + position]
        if size < _FEW:
            _insertion_sort(first, size)
        else:
            _radix_sort(first, other, size, counts)
        start = at
        for position in range(size):
            if position == 0 or first[position] != first[position - 1]:
                out[at] = first[position]
                at += 1
        starts[documents[one]], lengths[documents[one]] = start, at - start
    return at


@helper
def _insertion_sort(values: Hashes, size: int) -> None:
    for end in range(1, size):
        value, position = values[end], end
        while position > 0 and values[position - 1] > value:
            values[position] = values[position - 1]
            position -= 1
        values[position] = value


@helper
def _radix_sort(values: Hashes, other: Hashes, size: int, counts: Offsets) -> None:
    """Sort `values[:size]` by its four bytes, the lowest first; `other` has room for as many."""
    counts[:] = 0
    for position in range(size):
        value = np.int64(values[position])
        counts[0, value & 255] += 1
        counts[1, value >> 8 & 255] += 1
        counts[2, value >> 16 & 255] += 1
        counts[3, value >> 24] += 1
    source, target = values, other
    for byte in range(4):
        total: Integer = 0
        for digit in range(256):
            total, counts[byte, digit] = total + counts[byte, digit], total
        shift = 8 * byte
        for position in range(size):
            value = source[position]
            bucket = np.int64(value) >> shift & 255
            target[counts[byte, bucket]] = value
            counts[byte, bucket] += 1
        source, target = target, source


@helper
def least_common(together: int, threshold: float) -> Integer:
    """Elements that two sets, of `together` elements in all, must have in common to reach the threshold."""
    common: Integer = np.int64(threshold * together / (1.0 + threshold))
    while common > 0 and (common - 1) / (together - common + 1) >= threshold:
        common -= 1
    while common <= together - common and common / (together - common) < threshold:
        common += 1
    return common


@helper
def similarity(sets: Hashes, start: int, length: int, other_start: int, other_length: int, threshold: float) -> float:
    """The Jaccard similarity of two sorted sets, or -1 as soon as it is clear that it is below the threshold."""
    needed = least_common(length + other_length, threshold)
    common = i = j = 0
    while i < length and j < other_length:
        if common + min(length - i, other_length - j) < needed:
            return -1.0
        steps = min(_STEPS, min(length - i, other_length - j))
        for _ in range(steps):
            one, other = sets[start + i], sets[other_start + j]
            common += one == other
            i += one <= other
            j += other <= one
    return common / (length + other_length - common) if common >= needed else -1.0
