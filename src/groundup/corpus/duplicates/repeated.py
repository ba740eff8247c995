"""Lines and paragraphs that occur in many documents: menus, licences, notices.

    first pass     of each partition: a hash of every line (or paragraph) of enough words, with its document
    between        for each partition, how many of its documents that are left have each; for each range of hashes,
                   those that enough documents of all partitions have; for each partition, its best document that has
                   one of these; for each range, the best of all partitions, in which it stays
    last pass      of each partition: the others lose them

A line represents all lines with the same normal form: case, accents and punctuation do not distinguish them. A document
counts once, however often it has the line. Two different lines fall together with a chance of one in 2^64.

Files are little-endian: a header (magic, words, documents, entries), then 64-bit hashes in rising order, then for each
the 32-bit number of its document in the partition. What is repeated lies in a file of the same kind: hashes, then the
64-bit row of the document in which each stays.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.duplicates.configuration import RepeatedUnits, Unit
from groundup.corpus.duplicates.merit import best_first
from groundup.corpus.duplicates.minhash import Words
from groundup.corpus.duplicates.normal_form import table
from groundup.corpus.duplicates.runs import RunWriter, read_runs, records_of, spread
from groundup.corpus.duplicates.search import DuplicateSearch, SearchTask
from groundup.corpus.duplicates.units import Units, find_units, without
from groundup.corpus.finished import part_folder
from groundup.corpus.phases import Phases
from groundup.errors import GroundupError
from groundup.kernels.arrow import as_texts, buffers

if TYPE_CHECKING:
    import pyarrow as pa

_ENTRIES = 4 << 20  # entries of a part in memory at a time: 16 bytes each, and as much again to sort them
_COUNTED, _COMMON, _BEST, _OWNED = "counted", "common", "best", "owned"  # phases
_RUN, _HASHES, _OWNERS = "units.run", "hashes.npy", "owners.npy"
_COUNT = np.dtype([("hash", "<u8"), ("documents", "<i8")])
_OWNER = np.dtype([("hash", "<u8"), ("quality", "<f4"), ("size", "<i8"), ("id", "<u8", (2,)), ("row", "<i8")])
_HEADER = 4  # numbers of 64 bits
_MAGIC = {"line": int.from_bytes(b"GULINES1", "little"), "paragraph": int.from_bytes(b"GUPARAS1", "little")}
_AGAIN = "remove it and run the curate stage again"


@dataclass(frozen=True, slots=True)
class Removed:
    """Documents without what is repeated, one row each."""

    texts: "pa.Array"
    units: NDArray[np.int64]  # lines or paragraphs that were removed
    bytes: NDArray[np.int64]  # that these had
    words_left: NDArray[np.int64]


def write_units(path: Path, parts: Sequence[Units], unit: Unit, config: RepeatedUnits, documents: int) -> None:
    """Write the units of a partition's batches as one file.

    Args:
        path: the file.
        parts: of different documents.
        unit: what they are.
        config: with which they were made.
        documents: how many the partition has.
    """
    hashes = np.concatenate([np.zeros(0, np.uint64), *(part.hashes for part in parts)])
    numbers = np.concatenate([np.zeros(0, np.uint32), *(part.documents for part in parts)])
    by_hash = np.lexsort((numbers, hashes))
    with path.open("wb") as file:
        file.write(np.array([_MAGIC[unit], config.least_words, documents, len(hashes)], dtype="<u8").data)
        file.write(hashes[by_hash].astype("<u8", copy=False).data)
        file.write(numbers[by_hash].astype("<u4", copy=False).data)


@dataclass(frozen=True, kw_only=True)
class UnitsTask(SearchTask):
    """One task between the passes."""

    ends: str
    """`phase/file`: for each part an array `end` of what became of its documents; those that are left have 0."""
    unit: Unit
    name: str
    """Of the parts' files."""
    config: RepeatedUnits

    def phase_of(self, step: str) -> str:
        return f"{self.unit}s-{step}"


def find_repeated(
    search: DuplicateSearch, ends: str, unit: Unit, name: str, config: RepeatedUnits, phases: Phases
) -> int:
    """Write down what is repeated, and where it stays, in the search's folder; `Repeated` reads it.

    Args:
        search: of whose own parts; rows are counted over these.
        ends: see UnitsTask.
        unit: what is counted.
        name: of the files that `write_units` wrote, one in the folder of each part.
        config: in how many documents it is at least.
        phases: where the work is done.

    Returns:
        How many different lines or paragraphs are repeated.

    Raises:
        GroundupError: a part can't be read.
    """
    own, ranges = range(search.earlier_parts, search.parts), range(search.ranges)
    steps: list[tuple[str, Callable[[UnitsTask], Figures], range]] = [
        (_COUNTED, count_units, own), (_COMMON, sum_counts, ranges),
        (_BEST, best_documents, own), (_OWNED, best_of_all, ranges),
    ]  # fmt: skip
    figures: list[Figures] = []
    for step, function, numbers in steps:
        phase = f"{unit}s-{step}"
        tasks = [UnitsTask(search, phase, at, ends=ends, unit=unit, name=name, config=config) for at in numbers]
        figures = phases.run(f"counting {unit}s", search.folder / phase, function, tasks)
    total = sum(one["repeated"] for one in figures)
    aside = search.folder / f".{name}"
    owned = search.files(f"{unit}s-{_OWNED}", search.ranges, _OWNERS)
    with aside.open("wb") as target:
        target.write(np.array([_MAGIC[unit], config.least_words, 0, total], dtype="<u8").data)
        for column in ("hash", "row"):
            for path in owned:
                target.write(np.ascontiguousarray(np.load(path)[column]).data)
    aside.replace(search.folder / name)
    return total


def count_units(task: UnitsTask) -> Figures:
    """How many documents of one part have each unit."""
    return task.run(lambda folder: _count_units(task, folder))


def _count_units(task: UnitsTask, folder: Path) -> Figures:
    search = task.search
    with RunWriter(folder / _RUN, _COUNT, search.ranges) as writer:
        for hashes, _ in _left(task):
            first = _starts(hashes)
            counts = records_of(_COUNT, hash=hashes[first], documents=np.diff(first, append=len(hashes)))
            writer.write(counts, spread(counts["hash"], search.ranges))
    return {}


def sum_counts(task: UnitsTask) -> Figures:
    """Which units of one range are repeated."""
    return task.run(lambda folder: _sum_counts(task, folder))


def _sum_counts(task: UnitsTask, folder: Path) -> Figures:
    files = _own(task, _COUNTED, _RUN)
    found = read_runs(files, task.number, _COUNT)
    found = found[np.argsort(found["hash"], kind="stable")]
    first = _starts(found["hash"])
    sums = np.add.reduceat(found["documents"], first) if len(first) else np.zeros(0, np.int64)
    np.save(folder / _HASHES, found["hash"][first][sums >= task.config.least_documents])
    return {}


def best_documents(task: UnitsTask) -> Figures:
    """The best document of one part that has each repeated unit."""
    return task.run(lambda folder: _best_documents(task, folder))


def _best_documents(task: UnitsTask, folder: Path) -> Figures:
    search = task.search
    rows, quality = search.rows(task.number), search.quality(task.number)
    rank = np.empty(len(rows), dtype=np.int64)
    rank[best_first(rows.sizes, rows.ids, quality)] = np.arange(len(rows))
    start = int(search.starts[task.number]) - search.before
    common = [np.load(path) for path in search.files(task.phase_of(_COMMON), search.ranges, _HASHES)]
    every = np.concatenate(common)
    with RunWriter(folder / _RUN, _OWNER, search.ranges) as writer:
        for hashes, numbers in _left(task):
            at = np.searchsorted(every, hashes)
            at[at == len(every)] = 0
            known = every[at] == hashes if len(every) else np.zeros(len(hashes), bool)
            hashes, numbers = hashes[known], numbers[known]
            order = np.lexsort((rank[numbers], hashes))
            hashes, numbers = hashes[order], numbers[order]
            first = _starts(hashes)
            own = numbers[first]
            best = records_of(
                _OWNER,
                hash=hashes[first],
                quality=quality[own],
                size=rows.sizes[own],
                id=rows.ids[own],
                row=own + start,
            )
            writer.write(best, spread(best["hash"], search.ranges))
    return {}


def best_of_all(task: UnitsTask) -> Figures:
    """The best document of all that has each repeated unit of one range."""
    return task.run(lambda folder: _best_of_all(task, folder))


def _best_of_all(task: UnitsTask, folder: Path) -> Figures:
    found = read_runs(_own(task, _BEST, _RUN), task.number, _OWNER)
    found = found[best_first(found["size"], found["id"], found["quality"])]
    found = found[np.argsort(found["hash"], kind="stable")]
    found = found[_starts(found["hash"])]
    np.save(folder / _OWNERS, found[["hash", "row"]])
    return {"repeated": len(found)}


def _own(task: UnitsTask, step: str, name: str) -> list[Path]:
    return task.search.files(task.phase_of(step), task.search.parts, name)[task.search.earlier_parts :]


def _left(task: UnitsTask) -> Iterator[tuple[Words, NDArray[np.int64]]]:
    """`(hashes, numbers)` of a part's units in documents that are left; in rising order, no hash in two of them."""
    path = task.search.source(task.number) / task.name
    phase, _, name = task.ends.partition("/")
    with np.load(part_folder(task.search.folder / phase, task.number) / name) as ends:
        left = ends["end"] == 0
    _, entries = _header(path, task.unit, task.config)
    hashes, numbers = _columns(path, entries, "<u4")
    first = 0
    while first < entries:
        last = min(first + _ENTRIES, entries)
        last = int(np.searchsorted(hashes, hashes[last - 1], side="right"))
        some = left[numbers[first:last]]
        yield np.asarray(hashes[first:last])[some], numbers[first:last][some].astype(np.int64)
        first = last


def _starts(hashes: Words) -> NDArray[np.int64]:
    """Where each hash of rising ones starts."""
    return np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1]))) if len(hashes) else np.zeros(0, np.int64)


class Repeated:
    """What is repeated, for the last pass: opened, not read, for it may be large.

    Args:
        path: what `find_repeated` wrote.
        unit: what it counted.
        config: what it was given.

    Raises:
        GroundupError: the file can't be read.
    """

    def __init__(self, path: Path, unit: Unit, config: RepeatedUnits) -> None:
        self._unit, self._config = unit, config
        _, count = _header(path, unit, config)
        self._hashes, self._owners = _columns(path, count, "<i8")

    def remove(self, texts: "pa.Array", rows: NDArray[np.int64]) -> Removed:
        """Take out of each text what is repeated and stays in another one.

        Args:
            texts: strings without nulls.
            rows: the row of each, as in `order` of `find_repeated`.
        """
        data, offsets = buffers(texts)
        forms, paragraphs = table(False), self._unit == "paragraph"
        hashes, documents = find_units(data, offsets, forms, paragraphs, self._config.least_words)
        at = np.searchsorted(self._hashes, hashes)
        known = np.flatnonzero(at < len(self._hashes))
        known = known[self._hashes[at[known]] == hashes[known]]
        elsewhere = self._owners[at[known]] != rows[documents[known]]
        goes = np.zeros(len(hashes), dtype=bool)
        goes[known[elsewhere]] = True
        out, ends, units, sizes, words = without(data, offsets, forms, paragraphs, self._config.least_words, goes)
        return Removed(as_texts(out, ends).cast(texts.type), units, sizes, words)


def _header(path: Path, unit: Unit, config: RepeatedUnits) -> tuple[int, int]:
    """`(documents, entries)`"""
    try:
        header = np.fromfile(path, dtype="<u8", count=_HEADER).tolist()
        size = path.stat().st_size
    except OSError as error:
        raise GroundupError(f"{unit}s can't be read ({error})", where=str(path), do=_AGAIN) from error
    if len(header) != _HEADER or header[:2] != [_MAGIC[unit], config.least_words]:
        raise GroundupError(f"holds no {unit}s of these settings", where=str(path), do=_AGAIN)
    if size - 8 * _HEADER not in (12 * header[3], 16 * header[3]):
        raise GroundupError("is cut off or damaged", where=str(path), do=_AGAIN)
    return header[2], header[3]


def _columns(path: Path, count: int, second: str) -> tuple[NDArray, NDArray]:
    """The hashes and what is next to them, mapped into memory."""
    if count == 0:
        return np.zeros(0, dtype="<u8"), np.zeros(0, dtype=second)
    hashes = np.memmap(path, dtype="<u8", mode="r", offset=8 * _HEADER, shape=(count,))
    return hashes, np.memmap(path, dtype=second, mode="r", offset=8 * (_HEADER + count), shape=(count,))
