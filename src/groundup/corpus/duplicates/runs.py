"""Records on their way from the tasks that write them to the tasks that read them.

A task writes one file, in which records are ordered by their destination; a later task reads the range that is for it
out of every file. So no process ever holds more than its own records, and files are read in order:

    first phase, task 0 -> [for 0 | for 1 | for 2]         second phase, task 1 <- the middle range of each file
    first phase, task 1 -> [for 0 | for 1 | for 2]

Files are little-endian: magic, destinations, bytes of a record, then where each destination's range starts, then the
records.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError

Records = NDArray[Any]  # of a structured dtype

_MAGIC = int.from_bytes(b"GURUNS01", "little")
_HEADER = 3  # numbers of 64 bits before the offsets
_AGAIN = "remove it and run the curate stage again"


class RunWriter:
    """Writes the records of one task.

    Args:
        path: the file.
        dtype: of a record.
        destinations: how many tasks read the file.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], destinations: int) -> None:
        self._dtype, self._counts = dtype, np.zeros(destinations, dtype=np.int64)
        self._file: IO[bytes] = path.open("wb")
        self._file.write(bytes(8 * (_HEADER + destinations + 1)))

    def write(self, records: Records, to: NDArray[np.int64]) -> None:
        """Add records; those for the same destination stay in their order.

        Args:
            records: some.
            to: [records] their destinations; none is below those of an earlier call.
        """
        narrow = to.astype(np.uint16) if len(self._counts) <= 1 << 16 else to  # radix sort
        self._file.write(np.ascontiguousarray(records[np.argsort(narrow, kind="stable")]).data)
        self._counts += np.bincount(to, minlength=len(self._counts))

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._file as file:
            if kind is None:
                header = [_MAGIC, len(self._counts), self._dtype.itemsize]
                file.seek(0)
                file.write(np.array([*header, 0, *np.cumsum(self._counts)], dtype="<i8").data)


def write_run(path: Path, records: Records, to: NDArray[np.int64], destinations: int) -> None:
    """Write all records of a task at once."""
    with RunWriter(path, records.dtype, destinations) as writer:
        writer.write(records, to)


def range_of(path: Path, number: int, dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """`(byte at which the records start, first, last)` of those for destination `number`.

    Raises:
        GroundupError: the file can't be read, or holds something else.
    """
    try:
        header = np.fromfile(path, dtype="<i8", count=_HEADER).tolist()
        if len(header) != _HEADER or header[0] != _MAGIC or header[2] != dtype.itemsize or number >= header[1]:
            raise GroundupError("holds other records than are looked for", where=str(path), do=_AGAIN)
        first, last = np.fromfile(path, dtype="<i8", count=2, offset=8 * (_HEADER + number)).tolist()
    except (OSError, ValueError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do=_AGAIN) from error
    return 8 * (_HEADER + header[1] + 1), first, last


def read_run(path: Path, number: int, dtype: np.dtype[Any]) -> Records:
    """The records for destination `number` of one file."""
    start, first, last = range_of(path, number, dtype)
    found = np.fromfile(path, dtype=dtype, count=last - first, offset=start + first * dtype.itemsize)
    if len(found) != last - first:
        raise GroundupError("is cut off", where=str(path), do=_AGAIN)
    return found


def read_runs(paths: Sequence[Path], number: int, dtype: np.dtype[Any]) -> Records:
    """The records for destination `number` of all files, one file after the other."""
    return joined([read_run(path, number, dtype) for path in paths], dtype)


def joined(parts: Sequence[Records], dtype: np.dtype[Any]) -> Records:
    """The records of all parts in a row; `np.concatenate` takes a millisecond to see that their types are the same."""
    found = np.empty(sum(map(len, parts)), dtype=dtype)
    at = 0
    for part in parts:
        found[at : at + len(part)] = part
        at += len(part)
    return found


def records_of(dtype: np.dtype[Any], **columns: Any) -> Records:
    """Records from columns of equal length, or of one value for all."""
    size = max(len(column) for column in columns.values() if isinstance(column, np.ndarray))
    found = np.empty(size, dtype=dtype)
    for name, column in columns.items():
        found[name] = column
    return found


def spread(keys: NDArray[np.uint64], ranges: int) -> NDArray[np.int64]:
    """Which of so many equal ranges of all 64-bit keys each key is in."""
    return ((keys >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)).astype(np.int64)
