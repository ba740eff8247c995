"""The documents of a component, brought together: no comparison leads out of it, so one task can decide about them.

A task gets whole components: of every part a run of its documents (component, merit, band keys), and of their shingles
in the same order.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.components import labels_of
from groundup.corpus.duplicates.merit import RowNumbers, best_first
from groundup.corpus.duplicates.minhash import Hashes
from groundup.corpus.duplicates.runs import Records, RunWriter, joined, range_of, read_run, records_of
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask
from groundup.corpus.duplicates.sets import ShingleRanges
from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import kernel

GATHERED = "gathered"  # phase
_DOCUMENTS, _SHINGLES = "documents.run", "shingles.run"
_SHINGLE = np.dtype("<u4")
_BLOCK = 4 << 20  # shingles that are copied at a time, but for longer documents


class Gathered(NamedTuple):
    """The documents of one task, the best first; those of earlier corpora before all others."""

    documents: Records
    first_own: int  # documents below it are of earlier corpora
    ranges: ShingleRanges


def document_type(bands: int) -> np.dtype[Any]:
    """What is known of a document, but for its shingles."""
    merit = [("id", "<u8", (2,)), ("size", "<i8"), ("quality", "<f4"), ("shingles", "<u4")]
    return np.dtype([("row", "<i8"), ("component", "<i8"), *merit, ("keys", "<u8", (bands,))])


def gather(task: SearchTask) -> Figures:
    """Send the linked documents of one part to the tasks of their components."""
    return task.run(lambda folder: _gather(task.search, task.number, folder))


def _gather(search: DuplicateSearch, part: int, folder: Path) -> Figures:
    linked, components = labels_of(search, part)
    to = components % search.ranges
    by_task = np.argsort(to, kind="stable")
    linked, components, to = linked[by_task], components[by_task], to[by_task]
    own = linked - search.starts[part]
    file, rows = search.fingerprints(part), search.rows(part)
    offsets = file.offsets()
    begins, counts = offsets[own], np.diff(offsets)[own]
    records = records_of(
        document_type(search.config.bands), row=linked, component=components, id=rows.ids[own], size=rows.sizes[own],
        quality=search.quality(part)[own], shingles=counts,
    )  # fmt: skip
    for band in range(search.config.bands):
        records["keys"][:, band] = file.band(band)[own]
    with RunWriter(folder / _DOCUMENTS, records.dtype, search.ranges) as writer:
        writer.write(records, to)
    with RunWriter(folder / _SHINGLES, _SHINGLE, search.ranges) as writer:
        raw = file.shingles_mapped()
        ends = np.cumsum(counts)
        cuts = [0, *(np.flatnonzero(np.diff(ends // _BLOCK)) + 1).tolist(), len(own)]
        for first, last in pairwise(cuts):
            some = slice(first, last)
            writer.write(copied(raw, begins[some], counts[some]), np.repeat(to[some], counts[some]))
    return {"documents": len(own)}


def gathered(search: DuplicateSearch, number: int) -> Gathered:
    """The documents of one task."""
    dtype = document_type(search.config.bands)
    parts = [read_run(path, number, dtype) for path in search.files(GATHERED, search.parts, _DOCUMENTS)]
    files = search.files(GATHERED, search.parts, _SHINGLES)
    begins = []
    for part, path in zip(parts, files, strict=True):
        start, first, _ = range_of(path, number, _SHINGLE)
        ends = np.cumsum(part["shingles"], dtype=np.int64)
        begins.append(start // 4 + first + ends - part["shingles"])
    documents = joined(parts, dtype)
    file_of = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    begin: NDArray[np.int64] = np.concatenate(begins).astype(np.int64)
    del parts, begins
    first_own = int((documents["row"] < search.before).sum())
    order = np.argsort(documents["row"])
    own = order[first_own:]
    order[first_own:] = own[best_first(*(documents[name][own] for name in ("size", "id", "quality")))]
    documents = documents[order]
    ranges = ShingleRanges(files, file_of[order], begin[order], documents["shingles"].astype(np.int64))
    return Gathered(documents, first_own, ranges)


@kernel
def copied(raw: Hashes, begins: Offsets, counts: RowNumbers) -> Hashes:
    """`raw[begins[i] : begins[i] + counts[i]]` for all i in a row."""
    out = np.empty(counts.sum(), dtype=np.uint32)
    at = 0
    for one in range(begins.size):
        for position in range(begins[one], begins[one] + counts[one]):
            out[at] = raw[position]
            at += 1
    return out
