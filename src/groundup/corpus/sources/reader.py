"""The process that reads files, so that one which takes all time or memory, or breaks a library, ends only this.

    parent --> a piece, how many of its documents are known already, and which of them can't be read
           <-- DOCUMENTS ..., DOCUMENTS ..., DONE

Time and memory are limited for each document. The parent (`door.py`) knows which one was under way when this process
ended, and asks the next process again for those before it that had not been sent. Only numbers and text go over the
pipe, many documents at a time.
"""

import json
import os
import pickle
import sys
import time
from importlib import import_module
from typing import IO, Any

from groundup.corpus.extraction.limits import OUT_OF_MEMORY, READY, limit_memory, limit_time, unlimited_memory
from groundup.corpus.sources.files import Watch, read_file
from groundup.corpus.sources.piece import FilePart
from groundup.corpus.sources.protocol import (
    DOCUMENTS,
    DONE,
    ERROR,
    MESSAGE,
    PARTS,
    SIZE,
    PartsRequest,
    Position,
    ReadRequest,
    row_of,
)
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

# A book takes pypdf longer than a page takes an extractor.
_SLOW = {"pdf": 6.0}
_BATCH_BYTES, _BATCH_ROWS = 1 << 16, 256  # of documents that are sent together
# The timer is set again only after this fraction of the limit: setting it would take longer than most documents.
_EXACT = 0.05
# What takes much address space is loaded before that is limited; Arrow takes longer to load than most files to read.
_ARROW = ("pyarrow.parquet", "resiliparse.parse.encoding")
_LIBRARIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("parquet", "zip", "tar"), _ARROW),
    **dict.fromkeys(("jsonl", "json", "csv", "tsv", "wikipedia", "mediawiki"), ()),
}
_OTHERS = ("resiliparse.parse.encoding",)


class _LimitedWatch(Watch):
    """Limits the time of each document, and marks the one that is under way."""

    def __init__(self, request: ReadRequest, seconds: float, position: Position) -> None:
        super().__init__(request.skip, dict(request.bad))
        self._seconds, self._position = seconds, position
        self._limit()

    def begin(self, index: int) -> None:
        self._position.set(index)
        if time.monotonic() > self._until:
            self._limit()

    def end(self) -> None:
        self._position.set(-1)
        if time.monotonic() > self._until:
            self._limit()

    def _limit(self) -> None:
        limit_time(self._seconds)
        self._until = time.monotonic() + _EXACT * self._seconds


def serve(source: IO[bytes], sink: IO[bytes], seconds: float, megabytes: int, position: Position) -> None:
    """Answer requests until there are no more."""
    while header := source.read(SIZE.size):
        position.set(-1)
        request = pickle.loads(source.read(SIZE.unpack(header)[0]))
        format = request.format if isinstance(request, PartsRequest) else request.piece.format
        _load(_LIBRARIES.get(format, _OTHERS), megabytes)
        try:
            if isinstance(request, PartsRequest):
                limit_time(seconds)
                _write(sink, PARTS, _parts(request))
            else:
                _read(sink, request, seconds * _SLOW.get(format, 1.0), position)
        except GroundupError as error:
            _write(sink, ERROR, [error.what, error.where, error.do])
        limit_time(0)
        _write(sink, DONE, None)
        sink.flush()


def _load(libraries: tuple[str, ...], megabytes: int) -> None:
    """Import what is not there yet, and limit the memory that is taken from then on."""
    missing = [name for name in libraries if name not in sys.modules]
    if not missing:
        return
    unlimited_memory()
    for name in missing:
        import_module(name)
    if "pyarrow.parquet" in missing:
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
    limit_memory(megabytes)


def _read(sink: IO[bytes], request: ReadRequest, seconds: float, position: Position) -> None:
    """Send every document of a piece, and every reason."""
    watch = _LimitedWatch(request, seconds, position)
    rows: list[list[Any]] = []
    texts: list[bytes] = []
    size, last = 0, -1
    for index, item in read_file(request.piece, request.path, request.contents, request.max_bytes, watch):
        if index != last and (size >= _BATCH_BYTES or len(rows) >= _BATCH_ROWS):
            _write(sink, DOCUMENTS, rows, b"".join(texts))
            rows, texts, size = [], [], 0
        row, text = row_of(index, item)
        rows.append(row)
        texts.append(text)
        size, last = size + len(text), index
        if request.at_once:
            _write(sink, DOCUMENTS, rows, b"".join(texts))
            sink.flush()
            rows, texts, size = [], [], 0
    if rows:
        _write(sink, DOCUMENTS, rows, b"".join(texts))


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


def _write(sink: IO[bytes], kind: bytes, head: object, body: bytes = b"") -> None:
    heads = json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
    sink.write(MESSAGE.pack(kind, len(heads), len(body)))
    sink.write(heads)
    sink.write(body)


def main() -> None:
    """`python -m groundup.corpus.sources.reader SECONDS MEGABYTES FILE`; FILE is the descriptor of the position."""
    import logging

    seconds, megabytes, position = float(sys.argv[1]), int(sys.argv[2]), Position(int(sys.argv[3]))
    logging.disable()
    sink = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # what a library prints must not come between the answers
    sink.write(READY)
    sink.flush()
    limit_memory(megabytes)
    try:
        serve(sys.stdin.buffer, sink, seconds, megabytes, position)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
