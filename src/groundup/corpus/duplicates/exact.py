"""Documents with the same bytes: each goes for the first of them, which is the best, for equal texts have equal merit.

for each part     the first document of every digest, sent to the range of the digest
for each range    the first of all parts; every other one is sent back to its part, with it
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.merit import RowNumbers
from groundup.corpus.duplicates.runs import read_runs, records_of, spread, write_run
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask

DIGESTS, SAME = "digests", "same"  # phases
_DIGEST = np.dtype([("digest", "<u8", (2,)), ("row", "<i8")])
PAIR = np.dtype([("row", "<i8"), ("kept", "<i8")])
_RUN, _LOCAL = "first.run", "local.npy"


def send_digests(task: SearchTask) -> Figures:
    """Of one part."""
    return task.run(lambda folder: _send(task.search, task.number, folder))


def _send(search: DuplicateSearch, part: int, folder: Path) -> Figures:
    rows = np.flatnonzero(search.alive(part))
    digests = search.fingerprints(part).digests()[rows]
    firsts, others, of = _firsts(digests)
    rows += search.starts[part]
    np.save(folder / _LOCAL, records_of(PAIR, row=rows[others], kept=rows[of]))
    digests = digests[firsts]
    records = records_of(_DIGEST, digest=digests, row=rows[firsts])
    write_run(folder / _RUN, records, spread(digests[:, 0], search.ranges), search.ranges)
    return {}


def find_same(task: SearchTask) -> Figures:
    """Of one range of digests."""
    return task.run(lambda folder: _find(task.search, task.number, folder))


def _find(search: DuplicateSearch, number: int, folder: Path) -> Figures:
    found = read_runs(search.files(DIGESTS, search.parts, _RUN), number, _DIGEST)  # rows rise
    _, others, of = _firsts(found["digest"])
    pairs = records_of(PAIR, row=found["row"][others], kept=found["row"][of])
    write_run(folder / _RUN, pairs, search.part_of(pairs["row"]), search.parts)
    return {}


def same_as(search: DuplicateSearch, part: int) -> RowNumbers:
    """[documents] of a part: the row of the first with the same digest; -1 for itself, and in earlier corpora."""
    start, end = search.starts[part : part + 2].tolist()
    found = np.full(end - start, -1, dtype=np.int64)
    if part < search.earlier_parts:
        return found
    elsewhere = read_runs(search.files(SAME, search.ranges, _RUN), part, PAIR)
    found[elsewhere["row"] - start] = elsewhere["kept"]
    (path,) = search.files(DIGESTS, part + 1, _LOCAL)[part:]
    local = np.load(path)
    of = found[local["kept"] - start]
    found[local["row"] - start] = np.where(of >= 0, of, local["kept"])
    return found


def _firsts(digests: NDArray[np.uint64]) -> tuple[RowNumbers, RowNumbers, RowNumbers]:
    """`(the first row of each digest, all other rows, the first row with the digest of each of these)`"""
    by_digest = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of equal ones the first is first
    digests = digests[by_digest]
    is_first = np.ones(len(digests), dtype=bool)
    is_first[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    firsts = by_digest[is_first]
    others = ~is_first
    return firsts, by_digest[others], firsts[np.cumsum(is_first)[others] - 1]
