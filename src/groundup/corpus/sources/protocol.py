"""What goes between the door and a reading process: numbers, JSON and UTF-8, many documents in one message.

MESSAGE kind, size of the head, size of the body | head | body

DOCUMENTS   head: a row for each document or reason (`row_of`)     body: the texts, one after another
PARTS, ERROR, DONE   head: the parts of a file, what GroundupError says, nothing
"""

import mmap
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.piece import Piece
from groundup.corpus.sources.unreadable import UnreadableError

SIZE = struct.Struct("!I")  # bytes of a request
MESSAGE = struct.Struct("!cII")  # kind, bytes of the head and of the body
DOCUMENTS, PARTS, ERROR, DONE = b"D", b"P", b"!", b"."
_REASON = ("source", "origin", "rule", "title", "value", "threshold", "excerpt", "offset", "url", "licence", "is_row")


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
    at_once: bool = False
    """Each document is sent as soon as it is read, since the process will end somewhere between two."""


@dataclass(frozen=True)
class PartsRequest:
    """List the parts of a large file: the bytes and rows of row groups or members."""

    path: Path
    format: str


def encoded(request: ReadRequest | PartsRequest) -> bytes:
    data = pickle.dumps(request)
    return SIZE.pack(len(data)) + data


def row_of(index: int, item: Document | Dropped) -> tuple[list[Any], bytes]:
    """The row of a head for what was found at this index of a piece, and its text."""
    if isinstance(item, Document):
        text = item.text.encode("utf-8", "replace")
        return [index, len(text), item.title, item.origin, item.licence, item.url, item.offset, item.note], text
    return [index, -1, *(getattr(item, name) for name in _REASON)], b""


def item_of(row: list[Any], text: str, source: str) -> Document | Dropped:
    """The inverse of `row_of`, for a document of this source."""
    if row[1] < 0:
        return Dropped(**dict(zip(_REASON, row[2:], strict=True)))
    _, _, title, origin, licence, url, offset, note = row
    return Document("", text, title, source, origin, licence, "", (), url, offset, "", None, note)


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
