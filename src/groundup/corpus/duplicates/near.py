"""Exact and near-duplicates among all documents, found in their fingerprints alone, whatever their number.

What is dropped is defined without regard to files, partitions or the order of the input:

    All documents occur in one order, the best first (`best_first`); those of earlier corpora are before all others.
    One after the other, a document is dropped if it is a duplicate of a better one that is kept, and kept otherwise.
    It is dropped for one with the same bytes, or else for the best one. A document of an earlier corpus is always kept.
    Two documents are duplicates if their bytes are the same, or if they agree in all rows of at least one band of
    their signatures and their sets of shingles have a Jaccard similarity of at least the threshold.

So a document is only ever dropped for one that is kept and truly similar to it, never because a chain of others lies
between them. A cluster is a document that is kept, with those that are dropped for it.

The work goes in phases of tasks, which an engine spreads. Between phases lie files (`runs.py`), and a task that is
finished is not done again after a kill:

    exact.py         digests by range            -> who has the same bytes as another
    bands.py         keys by band and range      -> links between documents that share a key
    components.py    links                       -> components: no comparison leads out of one
    gathered.py      components by task          -> their documents and shingles together
    here             best first, every document is compared with those kept in its groups; what became of it is sent
                     back to its part, and also to those that have the same bytes

A task's memory is bounded by `range_documents` (some 250 bytes for each document that shares a key, and `SETS`
shingles), but for a component that is larger: that is one task, whatever it takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.bands import GROUPS, KEYS, SAME_RUN, link_equal_keys, send_keys
from groundup.corpus.duplicates.choice import choose, group_equal
from groundup.corpus.duplicates.components import label_components
from groundup.corpus.duplicates.exact import DIGESTS, PAIR, SAME, find_same, send_digests
from groundup.corpus.duplicates.gathered import GATHERED, gather, gathered
from groundup.corpus.duplicates.merit import RowNumbers
from groundup.corpus.duplicates.runs import Records, joined, read_runs, records_of, write_run
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask
from groundup.corpus.duplicates.sets import ShingleSets
from groundup.corpus.phases import Phases

SETS = 24 << 20  # shingles in memory at a time
_COMPARED, _PASSED_ON = "compared", "passed-on"  # phases
_RUN = "gone.run"
_GONE = np.dtype([("row", "<i8"), ("kept", "<i8"), ("id", "<u8", (2,)), ("similarity", "<f8"), ("exact", "?")])


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Documents of one part that go, because others say the same."""

    rows: RowNumbers  # rising; in the part
    kept: RowNumbers  # the row of the document that stays instead, counted over all parts of the search
    ids: NDArray[np.uint64]  # [documents, 2] of that
    similarity: NDArray[np.float64]  # Jaccard similarity of the two; 1 for exact duplicates
    exact: NDArray[np.bool_]  # their bytes are the same

    def __len__(self) -> int:
        return len(self.rows)


def find(search: DuplicateSearch, phases: Phases) -> Figures:
    """Find the documents to be dropped as duplicates of others; `duplicates_of` reads them.

    Args:
        search: what is searched; it is prepared.
        phases: where the work is done.

    Returns:
        JSON-ready: `candidates`, documents that shared a band key with another, and `compared`, pairs of sets.

    Raises:
        GroundupError: a part file can't be read, or was made with other settings.
    """
    by_part, by_range = range(search.parts), range(search.ranges)

    def run(title: str, phase: str, function: Callable[[SearchTask], Figures], numbers: range) -> list[Figures]:
        tasks = [SearchTask(search, phase, number) for number in numbers]
        return phases.run(title, search.folder / phase, function, tasks)

    run("finding exact duplicates", DIGESTS, send_digests, by_part)
    run("finding exact duplicates", SAME, find_same, by_range)
    run("grouping documents", KEYS, send_keys, by_part)
    run("grouping documents", GROUPS, link_equal_keys, by_range)
    label_components(search, GROUPS, phases)
    linked = run("gathering groups", GATHERED, gather, by_part)
    compared = run("comparing documents", _COMPARED, compare, by_range)
    run("comparing documents", _PASSED_ON, pass_on, by_part)
    return {
        "candidates": sum(one["documents"] for one in linked),
        "compared": sum(one["compared"] for one in compared),
    }


def compare(task: SearchTask) -> Figures:
    """Decide about the documents of some components."""
    return task.run(lambda folder: _compare(task.search, task.number, folder))


def _compare(search: DuplicateSearch, number: int, folder: Path) -> Figures:
    documents, first_own, ranges = gathered(search, number)
    groups = np.zeros((search.config.bands, len(documents)), dtype=np.int32)
    total = 0
    for band in range(search.config.bands):
        keys = np.ascontiguousarray(documents["keys"][:, band])
        total = group_equal(keys, np.argsort(keys, kind="stable"), first_own, groups[band], total)
    in_turn = np.argsort(documents["component"], kind="stable")
    choice = choose(in_turn, groups, total, first_own, ShingleSets(ranges, SETS), search.config.threshold)
    gone = np.flatnonzero(choice.instead >= 0)
    kept = documents[choice.instead[gone]]
    records = records_of(
        _GONE, row=documents["row"][gone], kept=kept["row"], id=kept["id"], similarity=choice.similarity[gone],
        exact=np.zeros(len(gone), bool),
    )  # fmt: skip
    write_run(folder / _RUN, records, search.part_of(records["row"]), search.parts)
    return {"compared": choice.compared}


def pass_on(task: SearchTask) -> Figures:
    """To the exact duplicates of one part's documents: what became of these, so that they go for what stays."""
    return task.run(lambda folder: _pass_on(task.search, task.number, folder))


def _pass_on(search: DuplicateSearch, part: int, folder: Path) -> Figures:
    pairs = read_runs(search.files(KEYS, search.parts, SAME_RUN), part, PAIR)
    first, ids = search.starts[part], search.rows(part).ids
    records = records_of(
        _GONE, row=pairs["row"], kept=pairs["kept"], id=ids[pairs["kept"] - first], similarity=np.ones(len(pairs)),
        exact=np.ones(len(pairs), bool),
    )  # fmt: skip
    gone = _gone(search, part)
    at = np.searchsorted(gone["row"], pairs["kept"])
    at[at == len(gone)] = 0
    goes = gone["row"][at] == pairs["kept"] if len(gone) else np.zeros(len(pairs), bool)
    for name in ("kept", "id", "similarity", "exact"):
        records[name][goes] = gone[name][at[goes]]
    write_run(folder / _RUN, records, search.part_of(records["row"]), search.parts)
    return {}


def _gone(search: DuplicateSearch, part: int) -> Records:
    """What was dropped of a part as near-duplicates, by row."""
    found = read_runs(search.files(_COMPARED, search.ranges, _RUN), part, _GONE)
    return found[np.argsort(found["row"])]


def duplicates_of(search: DuplicateSearch, part: int) -> Duplicates:
    """What was dropped of a part, after `find`."""
    passed_on = read_runs(search.files(_PASSED_ON, search.parts, _RUN), part, _GONE)
    found = joined([_gone(search, part), passed_on], _GONE)
    found = found[np.argsort(found["row"])]
    rows = found["row"] - search.starts[part]
    return Duplicates(rows, found["kept"], found["id"], found["similarity"], found["exact"])
