"""Tar archives, read from their beginning to their end: every member is a file, with the origin `a.tar/inner/b.md`."""

import tarfile
from collections.abc import Iterator

from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions
from groundup.corpus.sources.streams import ByteStream
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.corpus.sources.zipped import is_hidden, read_member


def read_tar(stream: ByteStream, relative: str, options: ReadOptions) -> Iterator[Found]:
    """The documents of an archive's members; links and devices are no files.

    Args:
        relative: the archive's name in origins.

    Raises:
        UnreadableError: `corrupt` or `truncated`.
    """
    try:
        with tarfile.open(fileobj=_ExactReads(stream), mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if not member.isfile() or is_hidden(member.name):
                    continue
                file = archive.extractfile(member)
                if file is None:
                    continue
                name = f"{relative}/{member.name}"
                try:
                    yield from read_member(ByteStream(file.read), member.name, member.size, name, options)
                except UnreadableError as error:
                    yield Failed(Location(name), error)
    except tarfile.ReadError as error:
        rule = "truncated" if "end of data" in str(error) else "corrupt"
        raise UnreadableError(rule, str(error)) from error
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise UnreadableError("corrupt", str(error)) from error


class _ExactReads:
    """The stream as a file that gives as many bytes as it is asked for; where it breaks off, first what there was."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._broken: UnreadableError | None = None

    def read(self, size: int) -> bytes:
        if self._broken is not None:
            raise self._broken
        found = bytearray()
        try:
            while len(found) < size and (part := self._stream.read(size - len(found))):
                found += part
        except UnreadableError as error:
            if not found:
                raise
            self._broken = error  # members that are whole are read before it is raised
        return bytes(found)
