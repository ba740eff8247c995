"""Large binary files with a checksum for every block, so that damage is found without reading a terabyte.

A file is written through `SealedFile`, which takes the CRC-32 of each 4 MiB as they pass. Whoever opens the file later
checks all blocks of a small one and `CHECKED_BLOCKS` evenly spread ones of a large one: some 50 ms at any size.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from groundup.errors import GroundupError
from groundup.shards.parts import PART_UNIT, part_path

BLOCK = PART_UNIT  # bytes
CHECKED_BLOCKS = 16  # of a file, when it is opened


class SealedFile:
    """A file being written: `with SealedFile(path) as file: file.write(array.data)`; then `file.checksums`.

    Args:
        path: the file.
        part_bytes: of the parts that it is written in (see `parts.py`), a multiple of PART_UNIT; 0: it is one file.
    """

    def __init__(self, path: Path, part_bytes: int = 0) -> None:
        self._path, self._part_bytes, self._parts = path, part_bytes, 0
        self.checksums: dict[
            str, list[int]
        ] = {}  # of each file by its name: CRC-32 of each block, the last one shorter
        self._running, self._room = 0, BLOCK

    def __enter__(self) -> "SealedFile":
        self._begin()
        return self

    def _begin(self) -> None:
        path = part_path(self._path, self._parts) if self._part_bytes else self._path
        self._file = path.open("wb")
        self._blocks = self.checksums.setdefault(path.name, [])
        self._parts += 1

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes."""
        rest = memoryview(content).cast("B")
        while rest:
            if len(self._blocks) * BLOCK == self._part_bytes > 0:
                self._file.close()
                self._begin()
            part = rest[: self._room]
            self._file.write(part)
            self._running = zlib.crc32(part, self._running)
            self._room -= len(part)
            rest = rest[len(part) :]
            if not self._room:
                self._end_block()

    def _end_block(self) -> None:
        self._blocks.append(self._running)
        self._running, self._room = 0, BLOCK

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        if self._room < BLOCK:
            self._end_block()


def check(path: Path, size: int, checksums: Sequence[int], everything: bool = False) -> None:
    """Compare a file with what was written.

    Args:
        size: of the file, in bytes.
        checksums: CRC-32 of each block.
        everything: look at all blocks, and not at a few.

    Raises:
        GroundupError: it is missing, has another size, or a block has changed; the message names the file.
    """
    try:
        found = path.stat().st_size
        if found != size:
            raise corrupt(path, f"is {found:,} bytes long and not {size:,}, as it was written")
        blocks = -(-size // BLOCK)
        if len(checksums) != blocks:
            raise corrupt(path, f"has {blocks:,} blocks and {len(checksums):,} checksums")
        chosen = range(blocks) if everything else np.unique(np.linspace(0, blocks - 1, CHECKED_BLOCKS, dtype=np.int64))
        with path.open("rb") as file:
            for block in chosen if blocks else ():
                file.seek(int(block) * BLOCK)
                if zlib.crc32(file.read(BLOCK)) != checksums[block]:
                    where = f"bytes {int(block) * BLOCK:,} to {min(size, (int(block) + 1) * BLOCK):,}"
                    raise corrupt(path, f"has changed since it was written ({where})")
    except OSError as error:
        raise corrupt(path, f"can't be read ({error})") from error


def corrupt(path: Path, what: str) -> GroundupError:
    """The error for a damaged file of a token shard."""
    return GroundupError(what, where=str(path), do="remove the folder it is in and run again: it is then rebuilt")
