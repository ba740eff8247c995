"""Zip archives, read in location: every member is a file of its own, with the origin `archive.zip/inner/guide.md`.

Nothing is unpacked to disk but a member that is parquet. An archive made to fill memory is stopped: what all members
together unpack to is bounded as for any packed file, and each member is bounded as a document.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

from groundup.corpus.sources.kinds import LOOKED_AT, format_of, recognised
from groundup.corpus.sources.readers import read_stream
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions
from groundup.corpus.sources.streams import ByteStream, again, check_growth, unpacked
from groundup.corpus.sources.unreadable import UnreadableError

_ENCRYPTED = 1


def members(path: Path) -> list[zipfile.ZipInfo]:
    """The files in an archive, sorted by name; without hidden ones, links and folders.

    Raises:
        UnreadableError: `corrupt` or `unreadable`.
    """
    with closing(_open(path)) as archive:
        return _sorted(archive)


def read_zip(path: Path, relative: str, options: ReadOptions, span: tuple[int, int] = (0, -1)) -> Iterator[Found]:
    """The documents of an archive's members.

    Args:
        relative: the archive's name in origins.
        span: the first member and the one after the last, in their sorted order; -1 for all.

    Raises:
        UnreadableError: `corrupt` or `unreadable`.
    """
    with closing(_open(path)) as archive:
        wanted = _sorted(archive)[span[0] : None if span[1] < 0 else span[1]]
        growth = _Growth(path.stat().st_size)
        for member in wanted:
            name = f"{relative}/{member.filename}"
            growth.begin(member.compress_size)
            try:
                with _member(archive, member) as file:
                    stream = _bounded(file, growth)
                    yield from read_member(stream, member.filename, member.compress_size, name, options)
            except UnreadableError as error:
                yield Failed(Location(name), error)
            if growth.stopped:
                return


def read_member(stream: ByteStream, filename: str, packed: int, name: str, options: ReadOptions) -> Iterator[Found]:
    """The documents of one member of an archive.

    Args:
        filename: the member's name in the archive.
        packed: about how many bytes it takes there.
        name: its name in origins.

    Raises:
        UnreadableError: it can't be read.
    """
    found, packing = format_of(filename)
    found = options.contents.format or found
    inner = unpacked(_Readable(stream), packing) if packing else stream  # type: ignore[arg-type]
    if not found:
        start = inner.read(LOOKED_AT)
        found, inner = recognised(start, filename), again(start, inner)
    if not found:
        raise UnreadableError("unsupported-type")
    if found in ("zip", "tar"):
        raise UnreadableError("nested-archive", "an archive within an archive is not opened")
    yield from read_stream(inner, found, name, options, packed=packed)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UnreadableError("corrupt", str(error)) from error
    except OSError as error:
        raise UnreadableError("unreadable", error.strerror or str(error)) from error


def _sorted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    found = [one for one in archive.infolist() if not (one.filename.endswith("/") or _is_link(one))]
    found = [one for one in found if not is_hidden(one.filename)]
    return sorted(found, key=lambda member: (member.filename, member.header_offset))


def _is_link(member: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16)  # where archives made on Unix keep the mode


def is_hidden(name: str) -> bool:
    """`.git/x`, and what macOS adds to every file."""
    parts = PurePosixPath(name).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    if member.flag_bits & _ENCRYPTED:
        raise UnreadableError("encrypted")
    try:
        return archive.open(member)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise UnreadableError("corrupt", str(error)) from error
    except NotImplementedError as error:
        raise UnreadableError("unsupported-compression", str(error)) from error


class _Growth:
    """How much all members so far were packed into, and have unpacked to."""

    def __init__(self, archive_bytes: int) -> None:
        self._most, self._packed, self._given = archive_bytes, 0, 0
        self.stopped = False

    def begin(self, packed: int) -> None:
        self._packed = min(self._packed + packed, self._most)  # members can be made to lie over each other

    def add(self, given: int) -> None:
        """Count unpacked bytes.

        Raises:
            UnreadableError: `unpacks-too-large`.
        """
        self._given += given
        try:
            check_growth(self._given, self._packed)
        except UnreadableError:
            self.stopped = True
            raise


def _bounded(file: IO[bytes], growth: _Growth) -> ByteStream:
    def read(size: int) -> bytes:
        try:
            found = file.read(size)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise UnreadableError("corrupt", str(error)) from error
        growth.add(len(found))
        return found

    return ByteStream(read)


class _Readable:
    """A stream as a file."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size if size >= 0 else 1 << 16)
