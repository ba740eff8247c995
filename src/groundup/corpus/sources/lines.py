"""Documents in the lines of a plain text: origin `talks.txt:12`."""

from collections.abc import Iterator

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import ByteStream, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.corpus.sources.wide import in_utf8


def read_lines(
    stream: ByteStream, relative: str, options: ReadOptions, first: int = 0, offset: int = 0
) -> Iterator[Record | Failed]:
    """A plain text of one document per line."""
    encoding = options.contents.extraction.encoding
    is_wide = False
    if encoding == "auto" and not offset:
        stream, is_wide = in_utf8(stream)
    for number, at, line in bounded_lines(stream, options.max_bytes, first + 1, offset):
        location = Location(f"{relative}:{number}", -1 if is_wide else at)
        if isinstance(line, UnreadableError):
            yield Failed(location, line)
            continue
        try:
            yield Record(location, decode(line, encoding))
        except UnreadableError as error:
            yield Failed(location, error, line)
