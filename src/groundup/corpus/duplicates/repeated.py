"""Lines and paragraphs that occur in many documents: menus, licences, notices.

    first pass     of each partition: a hash of every line (or paragraph) of enough words, with its document
    over all       range by range of the hashes: those that occur in enough of the documents that are left, with the
                   best of these documents, in which they stay
    last pass      of each partition: the others lose them

A line represents all lines with the same normal form: case, accents and punctuation do not distinguish them. A document
counts once, however often it has the line. Two different lines fall together with a chance of one in 2^64.

Files are little-endian: a header (magic, words, documents, entries), then 64-bit hashes in rising order, then for each
the 32-bit number of its document in the partition. What is repeated lies in a file of the same kind: hashes, then the
64-bit row of the document in which each stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.configuration import RepeatedUnits, Unit
from groundup.corpus.duplicates.minhash import Words
from groundup.corpus.duplicates.normal_form import table
from groundup.corpus.duplicates.units import Units, find_units, without
from groundup.errors import GroundupError
from groundup.kernels.arrow import as_texts, buffers
from groundup.progress import Progress, Silent

if TYPE_CHECKING:
    import pyarrow as pa

_ENTRIES = 4 << 20  # entries in memory at a time: 16 bytes each, and as much again to sort them
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


def find_repeated(
    parts: Sequence[Path],
    order: NDArray[np.int64],
    unit: Unit,
    config: RepeatedUnits,
    out: Path,
    progress: Progress | None = None,
) -> int:
    """Write down what is repeated, and where it stays.

    The files are read in ranges of the hashes, so that memory does not depend on how many entries there are.

    Args:
        parts: what `write_units` wrote.
        order: the documents that are left, the best first, as rows counted over `parts`.
        unit: what is counted.
        config: in how many documents it is at least.
        out: the file to write.
        progress: where to show the work.

    Returns:
        How many different lines or paragraphs are repeated.

    Raises:
        GroundupError: a part can't be read.
    """
    files = [_UnitFile(path, unit, config) for path in parts]
    starts = np.cumsum([0, *(file.documents for file in files)])
    rank = np.full(starts[-1], len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    ranges = max(1, -(-2 * sum(file.entries for file in files) // _ENTRIES))
    bounds = [number * 2**64 // ranges for number in range(1, ranges)]
    cuts = [file.cuts(np.array(bounds, dtype=np.uint64)) for file in files]
    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    with (progress or Silent()).task(f"counting {unit}s", ranges, "ranges") as task:
        for number in range(ranges):
            found = [
                file.read(own[number], own[number + 1], rank[start:])
                for file, own, start in zip(files, cuts, starts, strict=False)
            ]
            some, ranks = (np.concatenate(column) for column in zip(*found, strict=True))
            alive = ranks < len(order)
            some, ranks = some[alive], ranks[alive]
            by_hash = np.lexsort((ranks, some))
            some, ranks = some[by_hash], ranks[by_hash]
            first = np.flatnonzero(np.concatenate(([True], some[1:] != some[:-1]))) if len(some) else np.zeros(0, int)
            often = first[np.diff(first, append=len(some)) >= config.least_documents]
            hashes.append(some[often])
            owners.append(order[ranks[often]])
            task.advance()
    every = np.concatenate(hashes)
    with out.open("wb") as target:
        target.write(np.array([_MAGIC[unit], config.least_words, starts[-1], len(every)], dtype="<u8").data)
        target.write(every.astype("<u8").data)
        target.write(np.concatenate(owners).astype("<i8").data)
    return len(every)


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


class _UnitFile:
    """One partition's file, read in ranges."""

    def __init__(self, path: Path, unit: Unit, config: RepeatedUnits) -> None:
        self.path = path
        self.documents, self.entries = _header(path, unit, config)

    def cuts(self, bounds: Words) -> list[int]:
        """Where the entries below each of the bounds end, after 0 and before all."""
        hashes, _ = _columns(self.path, self.entries, "<u4")
        return [0, *np.searchsorted(hashes, bounds).tolist(), self.entries]

    def read(self, start: int, end: int, rank: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
        """`(hashes, rank of the document)` of entries from `start` to `end`."""
        at = 8 * _HEADER
        hashes = np.fromfile(self.path, dtype="<u8", count=end - start, offset=at + 8 * start)
        numbers = np.fromfile(self.path, dtype="<u4", count=end - start, offset=at + 8 * self.entries + 4 * start)
        return hashes, rank[numbers]


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
