"""Reading bytes of unknown goodness: plain, gzip or zstandard, never more in memory than the limit.

open_stream(path)  ->  whole(stream, limit)            a file that is one document
                   ->  bounded_lines(stream, limit)    a file of one document per line
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_CHUNK = 1 << 16


class UnreadableError(Exception):
    """A document that can't be read; `rule` says why, in a word that the report counts by."""

    def __init__(self, rule: str, detail: str = "", value: float | None = None, threshold: float | None = None) -> None:
        super().__init__(detail or rule)
        self.rule, self.detail, self.value, self.threshold = rule, detail, value, threshold


class ByteStream:
    """The uncompressed bytes of one file, with every way of going wrong told as UnreadableError."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end.

        Raises:
            UnreadableError: `truncated`, `corrupt` or `unreadable`.
        """
        import zstandard

        try:
            return self._read(size)
        except EOFError as error:
            raise UnreadableError("truncated", str(error)) from error
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise UnreadableError("corrupt", str(error)) from error
        except OSError as error:
            raise UnreadableError("unreadable", error.strerror or str(error)) from error


@contextmanager
def open_stream(path: Path) -> Iterator[ByteStream]:
    """The uncompressed bytes of `path`, by its last suffix.

    Raises:
        UnreadableError: `unreadable`, where the file can't be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableError("unreadable", error.strerror or str(error)) from error
    with file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield ByteStream(unzipped.read)
        elif path.suffix.lower() == ".zst":
            yield ByteStream(_Zstandard(file).read)
        else:
            yield ByteStream(file.read)


def whole(stream: ByteStream, limit: int) -> bytes:
    """All bytes of the stream.

    Raises:
        UnreadableError: `too-large`, after `limit` + 1 bytes.
    """
    found = bytearray()
    while len(found) <= limit:
        chunk = stream.read(_CHUNK)
        if not chunk:
            return bytes(found)
        found += chunk
    raise UnreadableError("too-large", value=float(len(found)), threshold=float(limit))


def bounded_lines(stream: ByteStream, limit: int) -> Iterator[tuple[int, bytes | UnreadableError]]:
    """`(number, line)` of every line that is not blank, numbered from 1, without its newline.

    A line over `limit` bytes is read past, never into memory, and given as UnreadableError with its size. Where the
    stream breaks off, that is given in place of the line that was being read, and the reading ends.
    """
    number, held, size = 1, bytearray(), 0
    while True:
        try:
            chunk = stream.read(_CHUNK)
        except UnreadableError as error:
            yield number, error
            return
        pieces = chunk.split(b"\n")
        for at, piece in enumerate(pieces):
            size += len(piece)
            if size <= limit:
                held += piece
            else:
                held.clear()
            if at < len(pieces) - 1 or (not chunk and size):
                if size > limit:
                    yield number, UnreadableError("too-large", value=float(size), threshold=float(limit))
                elif held.strip():
                    yield number, bytes(held)
                number, size = number + 1, 0
                held.clear()
        if not chunk:
            return


def decode(data: bytes) -> str:
    """UTF-8, with or without a byte-order mark.

    Raises:
        UnreadableError: `binary` (it holds NUL bytes) or `invalid-utf-8`.
    """
    if b"\0" in data:
        raise UnreadableError("binary", value=float(data.index(b"\0")))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError("invalid-utf-8", value=float(error.start)) from error


class _Zstandard:
    """Zstandard frames, one after another. The library's own reader takes a file cut within a frame for a whole one."""

    _PIECE = 1 << 10  # bytes taken in at a time: they can hold 32,000 times as many

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._pending, self._left = file, b"", memoryview(b"")
        self._begun = False
        self._frame = self._new_frame()

    def read(self, size: int) -> bytes:
        while not self._left:
            piece = self._pending or self._file.read(self._PIECE)
            if not piece:
                if self._begun:
                    raise EOFError("the file ends within a zstandard frame")
                return b""
            self._begun = True
            self._left = memoryview(self._frame.decompress(piece))
            self._pending = b""
            if self._frame.eof:
                self._pending = self._frame.unused_data
                self._begun = False
                self._frame = self._new_frame()
        found, self._left = bytes(self._left[:size]), self._left[size:]
        return found

    def _new_frame(self) -> Any:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()
