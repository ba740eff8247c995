"""The process that reads files, so that one which takes all time or memory, or breaks a library, ends only this.

    parent --> a piece, how many of its documents are known already, and which of them can't be read
           <-- DOCUMENT index ..., DROPPED index ..., DONE

Time and memory are limited for each document. The parent (`door.py`) knows which one was under way when this process
ended. Only numbers and text go over the pipe.
"""

import json
import os
import pickle
import sys
from dataclasses import asdict
from typing import IO

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.extraction.limits import OUT_OF_MEMORY, READY, limit_memory, limit_time
from groundup.corpus.sources.files import Watch, read_file
from groundup.corpus.sources.piece import FilePart
from groundup.corpus.sources.protocol import (
    DOCUMENT,
    DONE,
    DROPPED,
    ERROR,
    MESSAGE,
    PARTS,
    SIZE,
    PartsRequest,
    Position,
    ReadRequest,
)
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

# A book takes pypdf longer than a page takes an extractor.
_SLOW = {"pdf": 6.0}


class _LimitedWatch(Watch):
    """Limits the time of each document, and marks the one that is under way."""

    def __init__(self, request: ReadRequest, seconds: float, position: Position) -> None:
        super().__init__(request.skip, dict(request.bad))
        self._seconds, self._position = seconds, position

    def begin(self, index: int) -> None:
        limit_time(self._seconds)
        self._position.set(index)

    def end(self) -> None:
        limit_time(self._seconds)
        self._position.set(-1)


def serve(source: IO[bytes], sink: IO[bytes], seconds: float, position: Position) -> None:
    """Answer requests until there are no more."""
    while header := source.read(SIZE.size):
        position.set(-1)
        request = pickle.loads(source.read(SIZE.unpack(header)[0]))
        try:
            if isinstance(request, PartsRequest):
                limit_time(seconds)
                _write(sink, PARTS, 0, _parts(request))
            else:
                allowed = seconds * _SLOW.get(request.piece.format, 1.0)
                limit_time(allowed)
                watch = _LimitedWatch(request, allowed, position)
                piece, contents = request.piece, request.contents
                for index, item in read_file(piece, request.path, contents, request.max_bytes, watch):
                    _write_item(sink, index, item)
        except GroundupError as error:
            _write(sink, ERROR, 0, [error.what, error.where, error.do])
        limit_time(0)
        _write(sink, DONE, 0, None)
        sink.flush()


def _parts(request: PartsRequest) -> list[FilePart]:
    """Each part; none where the file can't be read, which reading it will show."""
    try:
        if request.format == "parquet":
            from groundup.corpus.sources.parquet import row_groups

            return row_groups(request.path)
        from groundup.corpus.sources.zipped import members

        return [FilePart(member.compress_size) for member in members(request.path)]
    except UnreadableError:
        return []


def _write_item(sink: IO[bytes], index: int, item: Document | Dropped) -> None:
    if isinstance(item, Document):
        head = {name: getattr(item, name) for name in ("title", "source", "origin", "licence", "url", "offset", "note")}
        _write(sink, DOCUMENT, index, head, item.text)
    else:
        _write(sink, DROPPED, index, asdict(item))


def _write(sink: IO[bytes], kind: bytes, index: int, head: object, text: str = "") -> None:
    heads = json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
    body = text.encode("utf-8", "replace")
    sink.write(MESSAGE.pack(kind, index, len(heads), len(body)) + heads + body)


def main() -> None:
    """`python -m groundup.corpus.sources.reader SECONDS MEGABYTES FILE`; FILE is the descriptor of the position."""
    import logging

    # What takes much address space is loaded before that is limited.
    import pyarrow as pa
    import pyarrow.parquet
    import resiliparse.parse.encoding  # noqa: F401

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    seconds, megabytes, position = float(sys.argv[1]), int(sys.argv[2]), Position(int(sys.argv[3]))
    logging.disable()
    sink = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # what a library prints must not come between the answers
    sink.write(READY)
    sink.flush()
    limit_memory(megabytes)
    try:
        serve(sys.stdin.buffer, sink, seconds, position)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
