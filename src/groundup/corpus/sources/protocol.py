"""What goes between the door and a reading process."""

import mmap
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.piece import Piece
from groundup.corpus.sources.unreadable import UnreadableError

SIZE = struct.Struct("!I")  # bytes of a request
MESSAGE = struct.Struct("!cQII")  # kind, index of the document in the piece, bytes of the head and of the text
DOCUMENT, DROPPED, PARTS, ERROR, DONE = b"D", b"X", b"P", b"!", b"."


@dataclass(frozen=True)
class ReadRequest:
    """Read a piece."""

    piece: Piece
    path: Path
    contents: Contents
    max_bytes: int
    skip: int = 0
    """So many of its documents are known already."""
    bad: tuple[tuple[int, UnreadableError], ...] = ()
    """Documents that ended this process before, by their index."""


@dataclass(frozen=True)
class PartsRequest:
    """List the parts of a large file: the bytes and rows of row groups or members."""

    path: Path
    format: str


def encoded(request: ReadRequest | PartsRequest) -> bytes:
    data = pickle.dumps(request)
    return SIZE.pack(len(data)) + data


class Position:
    """Which document is under way, in memory that both processes see: it is known also after the reader's death."""

    _FORM = struct.Struct("=q")

    def __init__(self, file: int) -> None:
        """`file` is the descriptor of a file of at least `SIZE` bytes."""
        self._memory = mmap.mmap(file, self.SIZE)

    SIZE = _FORM.size

    def set(self, index: int) -> None:
        """-1: none is under way."""
        self._FORM.pack_into(self._memory, 0, index)

    def get(self) -> int:
        return int(self._FORM.unpack_from(self._memory, 0)[0])
