"""A large file as parts of one size, and the parts as one array.

    train.bin                                    one file, as long as nothing limits it
    train.00000.bin, train.00001.bin, ...        parts; all but the last have `part_bytes`

Parts are mapped one after the other into one row of addresses, so that whoever reads the array sees no parts: a sample
that lies in two of them is a slice like any other. That takes what mmap promises on every POSIX system (a mapping at
an address that one holds, MAP_FIXED) and parts that are whole pages.
"""

import ctypes
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART_UNIT = 4 << 20  # bytes; a part is a multiple of it: of pages everywhere, of checksummed blocks, of every item
_READ, _SHARED, _PRIVATE, _FIXED = 1, 1, 2, 16  # PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_FIXED: Linux, macOS and BSD
_ANONYMOUS = 0x20 if os.uname().sysname == "Linux" else 0x1000
_FAILED = ctypes.c_void_p(-1).value


def part_path(path: Path, number: int) -> Path:
    """The path of a part: `train.00003.bin` of `train.bin`."""
    return path.with_suffix(f".{number:05}{path.suffix}")


def paths_of(path: Path, size: int, part_bytes: int) -> list[tuple[Path, int]]:
    """`(path, bytes)` of the files that a file of `size` bytes consists of.

    >>> [(part.name, size) for part, size in paths_of(Path("train.bin"), 9 << 20, 4 << 20)]
    [('train.00000.bin', 4194304), ('train.00001.bin', 4194304), ('train.00002.bin', 1048576)]

    Args:
        part_bytes: of a part; 0: it is one file.
    """
    if not part_bytes:
        return [(path, size)]
    count = max(1, -(-size // part_bytes))
    return [(part_path(path, n), min(part_bytes, size - n * part_bytes)) for n in range(count)]


def mapped(paths: Sequence[Path], dtype: np.dtype[Any]) -> NDArray[Any]:
    """All files as one array, mapped into memory; an array that is empty where they are."""
    sizes = [path.stat().st_size for path in paths]
    if not sum(sizes):
        return np.empty(0, dtype=dtype)
    if len(paths) == 1:
        # A plain array over the same memory: its slices are made faster.
        return np.asarray(np.memmap(paths[0], dtype=dtype, mode="r"))
    found = np.frombuffer(memoryview(_row_of(paths, sizes)), dtype=dtype)
    found.flags.writeable = False
    return found


def _row_of(paths: Sequence[Path], sizes: Sequence[int]) -> "ctypes.Array[ctypes.c_char]":
    """The files next to each other in memory, for as long as the result lives."""
    total = sum(sizes)
    start = _map(None, total, 0, _PRIVATE | _ANONYMOUS, -1)  # addresses that nothing else gets
    try:
        at = start
        for path, size in zip(paths, sizes, strict=True):
            if size:
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    _map(at, size, _READ, _SHARED | _FIXED, descriptor)
                finally:
                    os.close(descriptor)
            at += size
    except BaseException:
        _unmap(start, total)
        raise
    row = (ctypes.c_char * total).from_address(start)
    weakref.finalize(row, _unmap, start, total).atexit = False  # threads may still read while the process ends
    return row


def _map(address: int | None, size: int, protection: int, flags: int, descriptor: int) -> int:
    found = _libc().mmap(address, size, protection, flags, descriptor, 0)
    if found in (None, _FAILED):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)


def _unmap(address: int, size: int) -> None:
    _libc().munmap(address, size)


def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    integer, pointer, size = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
    library.mmap.restype, library.mmap.argtypes = pointer, [pointer, size, integer, integer, integer, ctypes.c_int64]
    library.munmap.argtypes = [pointer, size]
    return library
