"""Exact duplicates by hash, near-duplicates by MinHash-LSH with an exact check.

    texts -> normalised bytes -> sets of shingles (k words in a row, hashed to 64 bits)
          -> signatures: the least value of each of bands x rows random functions over a set (Broder, 1997)
          -> documents that agree in all rows of one band are candidates: P = 1 - (1 - J^rows)^bands
          -> candidates whose sets have a Jaccard similarity of at least the threshold are joined (union-find)
          -> of each cluster the best is kept, and then whatever is no near-duplicate of one that is kept

The best document is the longest; of equally long ones that with the smaller id. So a document is only ever dropped for
one that is kept and truly similar to it, never because a chain of others lies between them, and the order of the input
changes nothing.

Digits count as one another when candidates are found (pages that differ in a date) but not in the check: the
documentation of `base64.b16encode` and `base64.b32encode` is the same but for the digits. A document of fewer words
than a shingle can only be an exact duplicate.

The functions at the end are compiled by numba and work on byte buffers. Sets hold 64-bit hashes: that two different
shingles among ten million fall together has a chance of one in 300,000, and would move one similarity by one shingle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from groundup.corpus.configuration import NearDuplicates
from groundup.corpus.normalise import normalise
from groundup.progress import Progress, Silent

_SEED = 20_241_121  # of the random functions; another one finds other candidates among the least similar pairs
_PREPARE = 512  # documents between two steps of the progress

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The document at `index` goes, because the one at `kept` says the same."""

    index: int
    kept: int
    similarity: float  # Jaccard similarity of their shingles; 1 for exact duplicates


def exact_duplicates(texts: Sequence[str], ids: Sequence[str]) -> list[Duplicate]:
    """Texts that differ in case and white space at most; the best of each group is kept.

    Args:
        texts: the documents.
        ids: their ids; where texts are equal these are too, and the first in the sequence is kept.
    """
    best: dict[bytes, int] = {}
    found: list[Duplicate] = []
    for index in _best_first(texts, ids):
        digest = sha256(" ".join(texts[index].lower().split()).encode()).digest()
        if digest in best:
            found.append(Duplicate(index, best[digest], 1.0))
        else:
            best[digest] = index
    return sorted(found, key=lambda duplicate: duplicate.index)


def near_duplicates(
    texts: Sequence[str], ids: Sequence[str], config: NearDuplicates, progress: Progress | None = None
) -> list[Duplicate]:
    """Texts whose shingles have a Jaccard similarity of `config.threshold` or more with those of one that is kept.

    Args:
        texts: the documents, without exact duplicates.
        ids: their ids, all different.
        config: shingle length, bands, rows and threshold.
        progress: where to show the work.

    Returns:
        What is to be dropped, by rising index. Each pair was checked; how many pairs near the threshold go unseen
        follows from bands and rows (22 x 5: one pair in 57 at .7, one in 390 at .75, one in 6,000 at .8).
    """
    progress = progress or Silent()
    order = _best_first(texts, ids)
    normalised: list[bytes] = []
    with progress.task("comparing documents", len(texts) + config.bands, "documents") as task:
        for start in range(0, len(order), _PREPARE):
            some = order[start : start + _PREPARE]
            normalised += [normalise(texts[index]) for index in some]
            task.advance(len(some))
        buffer, starts = _joined(normalised)
        loose, loose_offsets = shingles(buffer, starts, config.shingle_words, True)
        multipliers, addends = _random_functions(config.bands * config.rows)
        signatures = minhash(loose, loose_offsets, multipliers, addends)
        del loose
        exact, offsets = shingles(buffer, starts, config.shingle_words, False)
        parents = np.arange(len(texts))
        has_shingles = np.flatnonzero(np.diff(offsets))
        for band in range(config.bands):
            keys = _band_keys(signatures[has_shingles, band * config.rows : (band + 1) * config.rows])
            by_key = np.argsort(keys, kind="stable")
            _join_equal(keys[by_key], has_shingles[by_key], exact, offsets, config.threshold, parents)
            task.advance()
    found = _drop_in_clusters(parents, exact, offsets, config.threshold)
    return sorted(
        (Duplicate(order[index], order[kept], similarity) for index, kept, similarity in found),
        key=lambda duplicate: duplicate.index,
    )


def _best_first(texts: Sequence[str], ids: Sequence[str]) -> list[int]:
    """Indices, the longest text first, then the smaller id."""
    sizes = [len(text.encode()) for text in texts]
    return sorted(range(len(texts)), key=lambda index: (-sizes[index], ids[index]))


def _joined(parts: Sequence[bytes]) -> tuple[Bytes, Offsets]:
    """`(bytes of all parts in a row, where each starts and the last one ends)`."""
    starts = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return np.frombuffer(b"".join(parts), dtype=np.uint8), starts


def _random_functions(count: int) -> tuple[Hashes, Hashes]:
    """`count` functions x -> (multiplier x + addend) mod 2^64, of which the upper 32 bits are used; odd multipliers."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    multipliers = random.integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return multipliers, random.integers(0, 2**64 - 1, count, dtype=np.uint64)


def _drop_in_clusters(
    parents: NDArray[np.int64], exact: Hashes, offsets: Offsets, threshold: float
) -> list[tuple[int, int, float]]:
    """`(dropped, kept, similarity)`; documents are numbered best first, so a cluster's root is its best."""
    clusters: dict[int, list[int]] = {}
    for index in range(len(parents)):
        clusters.setdefault(int(_root(parents, index)), []).append(index)
    found = []
    for members in clusters.values():
        kept: list[int] = []
        for index in members:
            for other in kept:
                similarity = jaccard(exact, offsets, other, index)
                if similarity >= threshold:
                    found.append((index, other, float(similarity)))
                    break
            else:
                kept.append(index)
    return found


# ---- compiled ----

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SPACE, _ZERO, _NINE = np.uint8(32), np.uint8(48), np.uint8(57)


def _compiled(function: Any) -> Any:
    """Compile with numba, once per machine: the machine code is kept beside the module."""
    return numba.njit(function, cache=True, nogil=True)


@_compiled
def _mix(value: np.uint64) -> np.uint64:
    """splitmix64's finaliser (Steele et al., 2014): every bit of the input moves every bit of the output."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@_compiled
def shingles(buffer: Bytes, starts: Offsets, words: int, digits_alike: bool) -> tuple[Hashes, Offsets]:
    """The set of shingles of each text, as sorted distinct hashes.

    Args:
        buffer: normalised texts in a row.
        starts: [texts + 1] where each starts, and the end of the last.
        words: words in a shingle.
        digits_alike: every digit counts as 0.

    Returns:
        `(hashes, offsets)`; those of text i are `hashes[offsets[i]:offsets[i + 1]]`.
    """
    texts = len(starts) - 1
    most = 0
    for at in range(len(buffer)):
        most += buffer[at] == _SPACE
    hashes = np.empty(most + texts, dtype=np.uint64)
    offsets = np.zeros(texts + 1, dtype=np.int64)
    recent = np.zeros(words, dtype=np.uint64)
    end = 0
    for text in range(texts):
        first, seen, word = end, 0, np.uint64(0)
        for at in range(starts[text], starts[text + 1] + 1):
            if at < starts[text + 1] and buffer[at] != _SPACE:
                byte = buffer[at]
                if digits_alike and _ZERO <= byte <= _NINE:
                    byte = _ZERO
                word = _mix(word ^ (np.uint64(byte) + _GOLDEN))
                continue
            if starts[text + 1] == starts[text]:
                break
            recent[seen % words] = word
            seen, word = seen + 1, np.uint64(0)
            if seen >= words:
                shingle = _GOLDEN
                for back in range(seen - words, seen):
                    shingle = _mix(shingle + recent[back % words])
                hashes[end] = shingle
                end += 1
        hashes[first:end].sort()
        distinct = first
        for at in range(first, end):
            if at == first or hashes[at] != hashes[at - 1]:
                hashes[distinct] = hashes[at]
                distinct += 1
        end = distinct
        offsets[text + 1] = end
    return hashes[:end].copy(), offsets


@_compiled
def minhash(hashes: Hashes, offsets: Offsets, multipliers: Hashes, addends: Hashes) -> NDArray[np.uint32]:
    """[texts, functions] the least value of every function over every set; all ones for an empty set."""
    texts, functions = len(offsets) - 1, len(multipliers)
    signatures = np.full((texts, functions), np.uint32(0xFFFFFFFF), dtype=np.uint32)
    for text in range(texts):
        row = signatures[text]
        for at in range(offsets[text], offsets[text + 1]):
            value = hashes[at]
            for function in range(functions):
                image = np.uint32((value * multipliers[function] + addends[function]) >> np.uint64(32))
                row[function] = min(row[function], image)
    return signatures


@_compiled
def _band_keys(rows: NDArray[np.uint32]) -> Hashes:
    keys = np.empty(rows.shape[0], dtype=np.uint64)
    for text in range(rows.shape[0]):
        key = _GOLDEN
        for row in range(rows.shape[1]):
            key = _mix(key + np.uint64(rows[text, row]))
        keys[text] = key
    return keys


@_compiled
def jaccard(hashes: Hashes, offsets: Offsets, a: int, b: int) -> float:
    """|A and B| / |A or B| of two sorted sets; 0 where both are empty."""
    i, end_i, j, end_j, common = offsets[a], offsets[a + 1], offsets[b], offsets[b + 1], 0
    together = end_i - i + end_j - j
    while i < end_i and j < end_j:
        if hashes[i] == hashes[j]:
            common, i, j = common + 1, i + 1, j + 1
        elif hashes[i] < hashes[j]:
            i += 1
        else:
            j += 1
    return common / (together - common) if together else 0.0


@_compiled
def _root(parents: NDArray[np.int64], index: int) -> int:
    """The smallest member of the cluster, with the path to it halved."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@_compiled
def _join_equal(
    keys: Hashes, members: NDArray[np.int64], hashes: Hashes, offsets: Offsets, threshold: float,
    parents: NDArray[np.int64],
) -> None:  # fmt: skip
    """Join documents that have equal keys (sorted) and are similar; pairs that are joined already need no check."""
    first = 0
    while first < len(keys):
        last = first + 1
        while last < len(keys) and keys[last] == keys[first]:
            last += 1
        for i in range(first, last):
            for j in range(i + 1, last):
                a, b = _root(parents, members[i]), _root(parents, members[j])
                if a != b and jaccard(hashes, offsets, members[i], members[j]) >= threshold:
                    parents[max(a, b)] = min(a, b)
        first = last
