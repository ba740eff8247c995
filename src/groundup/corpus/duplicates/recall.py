"""How many of all near-duplicates the search finds: by formula, and by brute force on a sample.

Two sets of Jaccard similarity s agree in a row of their signatures with probability s, so in at least one whole band

    P(s) = 1 - (1 - s^rows)^bands

of the time. What that makes of a corpus depends on how similar its pairs are; `expected` weights P by the pairs found.
`measured` takes some documents and compares each with every other document, exactly, without any signature.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintFile
from groundup.corpus.duplicates.minhash import Hashes
from groundup.corpus.duplicates.near import Duplicates, RowNumbers
from groundup.corpus.duplicates.sets import make_sets
from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import Integer, helper, kernel

LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_READ = 2 << 20  # shingles in memory at a time, but for longer documents


def chance(similarity: NDArray[np.float64] | float, config: NearDuplicates) -> NDArray[np.float64]:
    """The probability that a pair of this Jaccard similarity is compared."""
    return 1.0 - (1.0 - np.asarray(similarity, dtype=np.float64) ** config.rows) ** config.bands


def expected(found: Duplicates, config: NearDuplicates) -> dict[str, Any]:
    """What the formula says of a search.

    A pair that was found at similarity s counts for 1 / P(s) pairs (Horvitz and Thompson, 1952).

    Returns:
        JSON-ready: `chance` by similarity; `similarities`, the pairs found in steps of .05 from the threshold on; and
        `recall`, the fraction of the pairs above the threshold that was found, None if there are none.
    """
    near = found.similarity[~found.exact]
    steps = np.minimum((near * 20 + 1e-9).astype(np.int64), 19)
    return {
        "chance": {f"{level:g}": float(chance(level, config)) for level in LEVELS},
        "similarities": {
            f"{step / 20:g}": int((steps == step).sum()) for step in range(int(config.threshold * 20 + 1e-9), 20)
        },
        "recall": float(len(near) / (1.0 / chance(near, config)).sum()) if len(near) else None,
    }


def measured(
    parts: Sequence[Path], order: RowNumbers, found: Duplicates, config: NearDuplicates, sample: int = 256
) -> dict[str, Any]:
    """Compare some documents with all, and see which pairs the search has missed.

    A pair is missed if it reaches the threshold and both documents stay. The sample are the documents with the
    smallest digests, which is chance as far as their contents go, and the same for any order of the input.

    Args:
        parts: the part files that were searched.
        order: what was given to `find`.
        found: what it found; exact duplicates take no part here.
        config: the threshold.
        sample: documents that are compared with all others.

    Returns:
        JSON-ready: `sample`, `pairs` that reach the threshold, those `missed`, and `recall`, None without pairs.
    """
    files = [FingerprintFile(path, config) for path in parts]
    starts = np.cumsum([0, *(file.documents for file in files)])
    takes_part = np.zeros(starts[-1], dtype=bool)
    takes_part[order] = True
    takes_part[found.rows[found.exact]] = False
    stays = takes_part.copy()
    stays[found.rows] = False
    digests = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *(file.digests() for file in files)])
    rows = np.flatnonzero(takes_part)
    rows = np.sort(rows[np.lexsort((digests[rows, 1], digests[rows, 0]))[:sample]])
    del digests
    in_sample = np.zeros(starts[-1], dtype=bool)
    in_sample[rows] = True
    table = _table_of(files, starts, rows)
    pairs = missed = 0
    for file, start in zip(files, starts[:-1].tolist(), strict=True):
        for first, shingles, offsets in _blocks(file):
            documents, others = np.nonzero(_similarities(shingles, offsets, table) >= config.threshold)
            documents, others = documents + start + first, rows[others]
            # A document meets itself, and two of the sample meet twice.
            once = takes_part[documents] & ((documents < others) | ~in_sample[documents])
            documents, others = documents[once], others[once]
            pairs += len(documents)
            missed += int((stays[documents] & stays[others]).sum())
    return {"sample": len(rows), "pairs": pairs, "missed": missed, "recall": 1 - missed / pairs if pairs else None}


class _Table(NamedTuple):
    """The shingles of the sample, and which of its documents have each."""

    shingles: Hashes  # rising, once for each document that has it
    owners: Offsets
    slots: Offsets  # open addressing, at most half full: the first position of a shingle, or -1
    sizes: Offsets  # [sample] distinct shingles


def _table_of(files: Sequence[FingerprintFile], starts: RowNumbers, rows: RowNumbers) -> _Table:
    every, owners = [np.zeros(0, dtype=np.uint32)], [np.zeros(0, dtype=np.int64)]
    numbers = np.searchsorted(starts, rows, side="right") - 1
    for number in np.unique(numbers).tolist():
        offsets = files[number].offsets()
        with files[number].opened() as opened:
            for at in np.flatnonzero(numbers == number).tolist():
                own = rows[at] - starts[number]
                shingles = np.unique(files[number].read_shingles(opened, int(offsets[own]), int(offsets[own + 1])))
                every.append(shingles)
                owners.append(np.full(len(shingles), at))
    shingles, owner = np.concatenate(every), np.concatenate(owners)
    by_shingle = np.argsort(shingles, kind="stable")
    shingles, owner = shingles[by_shingle], owner[by_shingle]
    size = 16
    while size < 2 * len(shingles):
        size *= 2
    return _Table(shingles, owner, _fill(shingles, size), np.bincount(owner, minlength=len(rows)))


def _blocks(file: FingerprintFile) -> Iterator[tuple[int, Hashes, Offsets]]:
    """`(first document, shingles, offsets)` of some documents of a file at a time."""
    offsets = file.offsets()
    with file.opened() as opened:
        first = 0
        while first < file.documents:
            last = int(np.searchsorted(offsets, offsets[first] + _READ, side="right")) - 1
            last = min(max(last, first + 1), first + 4096)
            start, end = int(offsets[first]), int(offsets[last])
            yield first, file.read_shingles(opened, start, end), offsets[first : last + 1] - start
            first = last


# ---- compiled ----


@kernel
def _fill(shingles: Hashes, size: int) -> Offsets:
    slots = np.full(size, -1, dtype=np.int64)
    for at in range(shingles.size):
        if at == 0 or shingles[at] != shingles[at - 1]:
            slot = np.int64(shingles[at]) & (size - 1)
            while slots[slot] >= 0:
                slot = (slot + 1) & (size - 1)
            slots[slot] = at
    return slots


@helper
def _first_index(slots: Offsets, shingles: Hashes, shingle: Integer) -> Integer:
    """The first position of a shingle in the table, or -1."""
    slot = np.int64(shingle) & (slots.size - 1)
    while slots[slot] >= 0 and shingles[slots[slot]] != shingle:
        slot = (slot + 1) & (slots.size - 1)
    return slots[slot]


@kernel
def _similarities(raw: Hashes, offsets: Offsets, table: _Table) -> NDArray[np.float64]:
    """[documents, sample] Jaccard similarities; 0 where both sets are empty."""
    documents = len(offsets) - 1
    own = np.empty(raw.size, dtype=np.uint32)
    starts, lengths = np.empty(documents, dtype=np.int64), np.empty(documents, dtype=np.int64)
    make_sets(raw, offsets[:-1], offsets[1:], own, 0, np.arange(documents), starts, lengths)
    found = np.zeros((documents, table.sizes.size))
    for document in range(documents):
        common = found[document]
        for at in range(starts[document], starts[document] + lengths[document]):
            position = _first_index(table.slots, table.shingles, own[at])
            while 0 <= position < table.shingles.size and table.shingles[position] == own[at]:
                common[table.owners[position]] += 1
                position += 1
        for other in range(common.size):
            together = lengths[document] + table.sizes[other] - common[other]
            common[other] = common[other] / together if together else 0.0
    return found
