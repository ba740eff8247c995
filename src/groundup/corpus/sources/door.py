"""The one door for bytes from outside: every file is read in a process that may be lost, under limits.

    piece -> reading process -> documents and reasons, in order
                 '- dies: the document that it was at is dropped with a rule, another process reads the rest

A document that takes too much processor time or memory, or breaks a library, costs itself; where a file's structure
does so, between documents, the rest of the file is dropped. Processes are kept for the next piece.
"""

import atexit
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.extraction.process import LimitedProcess, LostError, LostRules
from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.piece import FilePart, Piece
from groundup.corpus.sources.protocol import (
    DONE,
    ERROR,
    MESSAGE,
    PartsRequest,
    Position,
    ReadRequest,
    encoded,
    item_of,
)
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

_MODULE = "groundup.corpus.sources.reader"
_LOST = LostRules(timeout="reading-timeout", memory="reading-memory", crash="reading-crash")
_MAX_LOST = 16  # processes that one piece may cost; then the rest of it is dropped
# A batch of pages can take the extractor so many times the time of one.
_BATCHES = 64


def read_guarded(piece: Piece, path: Path, contents: Contents, max_bytes: int) -> Iterator[Document | Dropped]:
    """Every document of one piece of a file, in order, and every one that can't be read.

    Args:
        piece: what to read.
        path: where this machine has it.
        contents: how the source's files are read; `extraction` limits time and memory.
        max_bytes: files, lines, rows and records above this size are dropped as `too-large`.
    """
    request = ReadRequest(piece, path, contents, max_bytes)
    for _ in range(_MAX_LOST):
        done = request.skip
        try:
            for _, rows, body in _answers(request, contents):
                at = 0
                for row in rows:
                    end = at + max(0, row[1])
                    done = row[0] + 1
                    yield item_of(row, str(body[at:end], "utf-8"), piece.source)
                    at = end
            return
        except _ReaderLostError as lost:
            reason = UnreadableError(lost.rule, lost.detail)
            if lost.index >= 0 and lost.index not in dict(request.bad):
                request = replace(request, skip=done, bad=(*request.bad, (lost.index, reason)))
            elif not request.at_once:  # what was read before, but not sent yet, is not lost
                request = replace(request, skip=done, at_once=True)
            else:
                break
    detail = f"{reason.detail}; the rest of the file is not read"
    yield Dropped(piece.source, piece.relative, reason.rule, excerpt=detail, licence=contents.licence)


def parts_of(path: Path, format: str, contents: Contents) -> list[FilePart]:
    """A Parquet file's row groups or a zip archive's members; none if it can't be read."""
    try:
        return [FilePart(*part) for _, head, _ in _answers(PartsRequest(path, format), contents) for part in head]
    except _ReaderLostError:
        return []  # reading it gives the reason


def _answers(request: ReadRequest | PartsRequest, contents: Contents) -> Iterator[tuple[bytes, Any, memoryview]]:
    """`(kind, head, body)` of each message.

    Raises:
        _ReaderLostError: the process is gone.
        GroundupError: what it raised.
    """
    limits = contents.extraction
    idle = _idle(limits.seconds, limits.memory_mb, os.getpid())
    process = idle.take()
    is_whole = False
    try:
        process.send(encoded(request))
        while True:
            seconds = limits.seconds * _BATCHES
            kind, heads, body = MESSAGE.unpack(process.take(MESSAGE.size, seconds))
            rest = process.take(heads + body, seconds)
            if kind == DONE:
                is_whole = True
                return
            head: Any = json.loads(rest[:heads])
            if kind == ERROR:
                what, where, do = head
                raise GroundupError(what, where=where, do=do)
            yield kind, head, memoryview(rest)[heads:]
    except LostError as lost:
        raise _ReaderLostError(lost, process.position.get()) from lost
    finally:
        if is_whole:
            idle.give_back(process)
        else:
            process.kill()


class _ReaderLostError(Exception):
    """A reading process is gone; `index` is that of the document that was under way, -1 if there was none."""

    def __init__(self, lost: LostError, index: int) -> None:
        super().__init__(lost.detail)
        self.rule, self.detail, self.index = lost.rule, lost.detail, index


class _ReadingProcess(LimitedProcess):
    """A reading process, and where it is."""

    def __init__(self, seconds: float, memory_mb: int) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(Position.SIZE)
            self.position = Position(file.fileno())
            super().__init__(_MODULE, _LOST, seconds, memory_mb, str(file.fileno()), files=(file.fileno(),))


class _Idle:
    """Reading processes that wait for the next piece."""

    def __init__(self, seconds: float, memory_mb: int) -> None:
        self._seconds, self._memory_mb = seconds, memory_mb
        self._waiting: list[_ReadingProcess] = []
        self._one_at_a_time = threading.Lock()

    def take(self) -> _ReadingProcess:
        with self._one_at_a_time:
            while self._waiting:
                process = self._waiting.pop()
                if process.process.poll() is None:
                    return process
                process.kill()
        return _ReadingProcess(self._seconds, self._memory_mb)

    def give_back(self, process: _ReadingProcess) -> None:
        with self._one_at_a_time:
            self._waiting.append(process)

    def close(self) -> None:
        with self._one_at_a_time:
            while self._waiting:
                process = self._waiting.pop()
                if process.parent == os.getpid():  # and not of a process that was forked
                    process.kill()


@lru_cache(maxsize=4)
def _idle(seconds: float, memory_mb: int, parent: int) -> _Idle:
    """The idle processes of this process (`parent`), which a forked process must not use."""
    made = _Idle(seconds, memory_mb)
    atexit.register(made.close)
    return made
