"""Documents in the lines of a plain text: origin `talks.txt:12`."""

from collections.abc import Iterator

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import ByteStream, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError


def read_lines(
    stream: ByteStream, relative: str, options: ReadOptions, first: int = 0, offset: int = 0
) -> Iterator[Record | Failed]:
    """A plain text of one document per line."""
    encoding = options.contents.extraction.encoding
    for number, at, line in bounded_lines(stream, options.max_bytes, first + 1, offset):
        location = Location(f"{relative}:{number}", at)
        if isinstance(line, UnreadableError):
            yield Failed(location, line)
            continue
        try:
            yield Record(location, decode(line, encoding))
        except UnreadableError as error:
            yield Failed(location, error, line)
