"""ReadOptions bytes of unknown goodness: plain or compressed, never more in memory than the limit.

open_stream(path)  ->  whole(stream, limit)            a file that is one document
                   ->  bounded_lines(stream, limit)    a file of one document per line
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from groundup.corpus.sources.unreadable import UnreadableError

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
SHORT_SUFFIXES = {".tgz": ".gz", ".tbz2": ".bz2", ".tbz": ".bz2", ".txz": ".xz", ".tzst": ".zst"}  # of tar archives
UNPACKED_TIMES = (
    200  # what grows by more when it is unpacked was made to fill memory and disks; text grows 2 to 10 times
)
UNPACKED_FREELY = 64 << 20  # bytes that anything may grow to: a small file of one repeated word is no attack
_CHUNK = 1 << 16
_XZ_MEMORY = 256 << 20  # a file can ask for 4 GB; `xz -9` asks for 65 MB


class ByteStream:
    """The uncompressed bytes of one file, with every failure reported as UnreadableError."""

    def __init__(self, read: Callable[[int], bytes], taken_in: Callable[[], int] | None = None) -> None:
        """`taken_in` says how many packed bytes have been read so far, where the bytes are packed."""
        self._read, self._taken_in = read, taken_in
        self.given = 0

    def read(self, size: int = _CHUNK) -> bytes:
        """Up to `size` bytes; none at the end.

        Raises:
            UnreadableError: `truncated`, `corrupt`, `unreadable`, or `unpacks-too-large`.
        """
        import zstandard

        try:
            found = self._read(size)
        except EOFError as error:
            raise UnreadableError("truncated", str(error)) from error
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise UnreadableError("corrupt", str(error)) from error
        except OSError as error:
            # Those of the system have a number; bz2's has none.
            raise UnreadableError("unreadable" if error.errno else "corrupt", error.strerror or str(error)) from error
        self.given += len(found)
        if self._taken_in is not None:
            check_growth(self.given, self._taken_in())
        return found


def check_growth(unpacked: int, packed: int) -> None:
    """Refuse what was made to fill memory.

    Raises:
        UnreadableError: `unpacks-too-large`.
    """
    if unpacked > max(UNPACKED_FREELY, UNPACKED_TIMES * packed):
        detail = f"{packed:,} bytes unpack to over {unpacked:,}"
        raise UnreadableError("unpacks-too-large", detail, unpacked / max(1, packed), float(UNPACKED_TIMES))


@contextmanager
def open_stream(path: Path, start: int = 0, end: int = -1) -> Iterator[ByteStream]:
    """The uncompressed bytes of `path`, by its last suffix; of a plain file those from `start` to `end`.

    Raises:
        UnreadableError: `unreadable`, where the file can't be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableError("unreadable", error.strerror or str(error)) from error
    with file:
        if start or end >= 0:
            file.seek(start)
            yield ByteStream(file.read if end < 0 else _until(file, end - start))
        else:
            yield unpacked(file, path.suffix.lower())


def unpacked(file: IO[bytes], suffix: str) -> ByteStream:
    """The uncompressed bytes of an open file, by the suffix of its name."""
    suffix = SHORT_SUFFIXES.get(suffix, suffix)
    if suffix not in COMPRESSED:
        return ByteStream(file.read)
    counted = _Counted(file)
    return ByteStream(_Frames(counted, *_FRAMES[suffix]).read, counted.taken)


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


def again(start: bytes, rest: ByteStream) -> ByteStream:
    """A stream with its first bytes, which were read already, before the rest."""
    pending = start

    def read(size: int) -> bytes:
        nonlocal pending
        if not pending:
            return rest.read(size)
        found, pending = pending[:size], pending[size:]
        return found

    return ByteStream(read)


def bounded_lines(
    stream: ByteStream, limit: int, number: int = 1, offset: int = 0, keep_blank: bool = False
) -> Iterator[tuple[int, int, bytes | UnreadableError]]:
    """`(number, offset, line)` of every line that is not blank (or of all), without its newline.

    A line over `limit` bytes is read past, never into memory, and given as UnreadableError with its size. Where the
    stream breaks off, that is given in place of the line that was being read, and the reading ends.

    Args:
        stream: what to read.
        limit: most bytes of a line.
        number: that of the first line.
        offset: where in the file the first line begins.
        keep_blank: give blank lines too.
    """
    held, size = bytearray(), 0
    while True:
        try:
            chunk = stream.read(_CHUNK)
        except UnreadableError as error:
            yield number, offset, error
            return
        if (
            not size and not keep_blank and chunk.endswith(b"\n") and chunk.isspace()
        ):  # nothing but blank lines, of which there can be many
            number, offset = number + chunk.count(b"\n"), offset + len(chunk)
            continue
        pieces = chunk.split(b"\n")
        for at, piece in enumerate(pieces):
            size += len(piece)
            if size <= limit:
                held += piece
            else:
                held.clear()
            if at < len(pieces) - 1 or (not chunk and size):
                if size > limit:
                    yield number, offset, UnreadableError("too-large", value=float(size), threshold=float(limit))
                elif keep_blank or held.strip():
                    yield number, offset, bytes(held)
                number, offset, size = number + 1, offset + size + 1, 0
                held.clear()
        if not chunk:
            return


def _until(file: IO[bytes], left: int) -> Callable[[int], bytes]:
    """Reads of `file` that end after `left` bytes."""

    def read(size: int) -> bytes:
        nonlocal left
        found = file.read(min(size, left))
        left -= len(found)
        return found

    return read


class _Counted:
    """A file that knows how much of it was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._taken = file, 0

    def taken(self) -> int:
        return self._taken

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(size)
        self._taken += len(found)
        return found

    def seekable(self) -> bool:
        return False


class _Frames:
    """Compressed frames, one after another; every byte before the point where a file breaks off is given.

    The standard readers lose up to a whole block of what they had unpacked, and zstandard's takes a file that is cut
    within a frame for a complete one.
    """

    _PIECE = 1 << 10  # bytes taken in at a time: they can hold 32,000 times as many

    def __init__(self, file: Any, new_frame: Callable[[], Any], padding: bytes) -> None:
        self._file, self._pending, self._left = file, b"", memoryview(b"")
        self._begun, self._padding = False, padding
        self._new_frame = new_frame
        self._frame = new_frame()

    def read(self, size: int) -> bytes:
        while not self._left:
            is_full = not getattr(self._frame, "needs_input", True)  # bz2 and xz give a chunk at a time
            piece = b"" if is_full else self._pending or self._file.read(self._PIECE)
            if not piece and not is_full:
                if self._begun:
                    raise EOFError("the file ends within a frame")
                return b""
            if not self._begun and self._padding and not is_full:
                piece = piece.lstrip(self._padding)
                if not piece:
                    self._pending = b""
                    continue
            self._begun = True
            self._left = memoryview(self._unpack(piece))
            self._pending = b""
            if self._frame.eof:
                self._pending = self._frame.unused_data
                self._begun = False
                self._frame = self._new_frame()
        found, self._left = bytes(self._left[:size]), self._left[size:]
        return found

    def _unpack(self, piece: bytes) -> bytes:
        limit = (_CHUNK,) if hasattr(self._frame, "needs_input") else ()
        return self._frame.decompress(piece, *limit)


def _zstandard_frame() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _xz_frame() -> Any:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _gzip_frame() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


# By suffix: a decompressor of one frame, and the bytes that may fill the space between two.
_FRAMES: dict[str, tuple[Callable[[], Any], bytes]] = {
    ".gz": (_gzip_frame, b"\0"),
    ".bz2": (bz2.BZ2Decompressor, b""),
    ".xz": (_xz_frame, b"\0"),
    ".zst": (_zstandard_frame, b""),
}
