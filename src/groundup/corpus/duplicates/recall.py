"""How many of all near-duplicates the search finds: by formula, and by brute force on a sample.

Two sets of Jaccard similarity s agree in a row of their signatures with probability s, so in at least one whole band

    P(s) = 1 - (1 - s^rows)^bands

of the time. What that makes of a corpus depends on how similar its pairs are; `expected` weights P by the pairs found.
`measured` takes some documents and compares each with every other document, exactly, without any signature.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintFile
from groundup.corpus.duplicates.gathered import copied
from groundup.corpus.duplicates.merit import RowNumbers
from groundup.corpus.duplicates.minhash import Hashes
from groundup.corpus.duplicates.near import Duplicates, duplicates_of
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask
from groundup.corpus.duplicates.sets import make_sets
from groundup.corpus.phases import Phases
from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import Integer, helper, kernel

LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SAMPLE = 256  # documents that are compared with all others
_READ = 2 << 20  # shingles in memory at a time, but for longer documents
_ONE = 1 << 32  # weights are whole numbers of its inverse, so that their sum is the same in any order
_STEPS = 20  # of the similarity
_NOMINATED, _BRUTE = "nominated", "brute-force"  # phases
_SAMPLE = "sample.npz"


class FoundPairs(TypedDict):
    """The near-duplicates of one part."""

    similarities: list[int]  # how many by similarity, in steps of .05
    weight: int  # of all together, times 2^32


def chance(similarity: NDArray[np.float64] | float, config: NearDuplicates) -> NDArray[np.float64]:
    """The probability that a pair of this Jaccard similarity is compared."""
    return 1.0 - (1.0 - np.asarray(similarity, dtype=np.float64) ** config.rows) ** config.bands


def found_pairs(found: Duplicates, config: NearDuplicates) -> FoundPairs:
    """What `expected` needs to know of one part.

    A pair that was found at similarity s counts for 1 / P(s) pairs (Horvitz and Thompson, 1952).
    """
    near = found.similarity[~found.exact]
    steps = np.minimum((near * _STEPS + 1e-9).astype(np.int64), _STEPS - 1)
    weights = np.rint(_ONE / chance(near, config)).astype(np.int64)
    return {"similarities": np.bincount(steps, minlength=_STEPS).tolist(), "weight": int(weights.sum())}


def expected(parts: Iterable[FoundPairs], config: NearDuplicates) -> dict[str, Any]:
    """What the formula says of a search.

    Returns:
        JSON-ready: `chance` by similarity; `similarities`, the pairs found in steps of .05 from the threshold on; and
        `recall`, the fraction of the pairs above the threshold that was found, None if there are none.
    """
    counts, weight = np.zeros(_STEPS, dtype=np.int64), 0
    for part in parts:
        counts += np.array(part["similarities"])
        weight += part["weight"]
    pairs = int(counts.sum())
    return {
        "chance": {f"{level:g}": float(chance(level, config)) for level in LEVELS},
        "similarities": {
            f"{step / _STEPS:g}": int(counts[step]) for step in range(int(config.threshold * _STEPS + 1e-9), _STEPS)
        },
        "recall": pairs * _ONE / weight if pairs else None,
    }


def measured(search: DuplicateSearch, phases: Phases, sample: int = SAMPLE) -> dict[str, Any]:
    """Compare some documents with all, and see which pairs the search has missed.

    A pair is missed if it reaches the threshold and both documents stay. The sample are the documents with the
    smallest digests, which is chance as far as their contents go, and the same for any order of the input. Exact
    duplicates and earlier corpora take no part.

    Args:
        search: what `find` has searched.
        phases: where tasks run.
        sample: documents that are compared with all others.

    Returns:
        JSON-ready: `sample`, `pairs` that reach the threshold, those `missed`, and `recall`, None without pairs.
    """
    own = range(search.earlier_parts, search.parts)
    tasks = [SearchTask(search, f"{_NOMINATED}-{sample}", part, str(sample)) for part in own]
    phases.run("measuring recall", search.folder / f"{_NOMINATED}-{sample}", nominate, tasks)
    documents = _draw(search, sample)
    brute = f"{_BRUTE}-{sample}"
    tasks = [SearchTask(search, brute, part) for part in own]
    figures = phases.run("measuring recall", search.folder / brute, compare_with_sample, tasks)
    pairs, missed = sum(one["pairs"] for one in figures), sum(one["missed"] for one in figures)
    return {"sample": documents, "pairs": pairs, "missed": missed, "recall": 1 - missed / pairs if pairs else None}


def nominate(task: SearchTask) -> Figures:
    """Those documents of one part that may be in the sample."""
    return task.run(lambda folder: _nominate(task.search, task.number, int(task.reads), folder))


def _nominate(search: DuplicateSearch, part: int, sample: int, folder: Path) -> Figures:
    file, found = search.fingerprints(part), duplicates_of(search, part)
    takes_part, stays = _states(search, part, found)
    digests = file.digests()
    rows = np.flatnonzero(takes_part)
    rows = rows[np.lexsort((digests[rows, 1], digests[rows, 0]))[:sample]]
    offsets = file.offsets()
    counts = np.diff(offsets)[rows]
    np.savez(
        folder / _SAMPLE,
        digests=digests[rows],
        rows=rows + search.starts[part],
        stays=stays[rows],
        counts=counts,
        shingles=copied(file.shingles_mapped(), offsets[rows], counts),
    )
    return {}


def _draw(search: DuplicateSearch, sample: int) -> int:
    """Write down the sample of all parts, by row; returns how many documents it has."""
    found = search.files(f"{_NOMINATED}-{sample}", search.parts, _SAMPLE)[search.earlier_parts :]
    every = [np.zeros((0, 2), np.uint64)]
    for path in found:
        with np.load(path) as nominated:
            every.append(nominated["digests"])
    digests = np.concatenate(every)
    of = np.repeat(np.arange(len(found)), [len(some) for some in every[1:]])
    chosen = np.sort(np.lexsort((digests[:, 1], digests[:, 0]))[:sample])
    rows, stays, shingles, owners = [np.zeros(0, np.int64)], [np.zeros(0, bool)], [np.zeros(0, np.uint32)], 0
    owner = [np.zeros(0, np.int64)]
    for part in np.unique(of[chosen]).tolist():
        with np.load(found[part]) as nominated:  # each name reads its array again
            all_rows, all_stays, all_shingles = (nominated[name] for name in ("rows", "stays", "shingles"))
            ends = np.cumsum(nominated["counts"])
        own = np.sort(chosen[of[chosen] == part] - np.flatnonzero(of == part)[0])
        own = own[np.argsort(all_rows[own])]
        for at in own.tolist():
            some = np.unique(all_shingles[ends[at - 1] if at else 0 : ends[at]])
            shingles.append(some)
            owner.append(np.full(len(some), owners))
            owners += 1
        rows.append(all_rows[own])
        stays.append(all_stays[own])
    columns = {"rows": rows, "stays": stays, "shingles": shingles, "owners": owner}
    arrays: dict[str, Any] = {name: np.concatenate(values) for name, values in columns.items()}
    np.savez(search.folder / _SAMPLE, **arrays)
    return owners


def compare_with_sample(task: SearchTask) -> Figures:
    """The documents of one part with the sample, each with each."""
    return task.run(lambda _: _compare_with_sample(task.search, task.number))


def _compare_with_sample(search: DuplicateSearch, part: int) -> Figures:
    with np.load(search.folder / _SAMPLE) as sample:
        rows, sample_stays = sample["rows"], sample["stays"]
        table = _table_of(sample["shingles"], sample["owners"], len(rows))
    file, start = search.fingerprints(part), int(search.starts[part])
    takes_part, stays = _states(search, part, duplicates_of(search, part))
    in_sample = np.isin(np.arange(start, start + file.documents), rows)
    pairs = missed = 0
    for first, shingles, offsets in _blocks(file):
        documents, others = np.nonzero(_similarities(shingles, offsets, table) >= search.config.threshold)
        documents += first
        # A document meets itself, and two of the sample meet twice.
        once = takes_part[documents] & ((documents + start < rows[others]) | ~in_sample[documents])
        documents, others = documents[once], others[once]
        pairs += len(documents)
        missed += int((stays[documents] & sample_stays[others]).sum())
    return {"pairs": pairs, "missed": missed}


def _states(search: DuplicateSearch, part: int, found: Duplicates) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`(takes part, stays)` for each document of a part."""
    takes_part = search.alive(part)
    takes_part[found.rows[found.exact]] = False
    stays = takes_part.copy()
    stays[found.rows] = False
    return takes_part, stays


class _Table(NamedTuple):
    """The shingles of the sample, and which of its documents have each."""

    shingles: Hashes  # rising, once for each document that has it
    owners: Offsets
    slots: Offsets  # open addressing, at most half full: the first position of a shingle, or -1
    sizes: Offsets  # [sample] distinct shingles


def _table_of(shingles: Hashes, owners: RowNumbers, documents: int) -> _Table:
    by_shingle = np.argsort(shingles, kind="stable")
    shingles, owners = shingles[by_shingle], owners[by_shingle]
    size = 16
    while size < 2 * len(shingles):
        size *= 2
    return _Table(shingles, owners, _fill(shingles, size), np.bincount(owners, minlength=documents))


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
