"""The reader of each format of which a stream of bytes is."""

from collections.abc import Iterator

from groundup.corpus.sources.kinds import LOOKED_AT, sniff
from groundup.corpus.sources.record import Found, Location, ReadOptions, Unread, read_whole
from groundup.corpus.sources.streams import ByteStream, again, whole
from groundup.corpus.sources.unreadable import UnreadableError


def read_stream(
    stream: ByteStream,
    format: str,
    relative: str,
    options: ReadOptions,
    first: int = 0,
    offset: int = 0,
    packed: int = 0,
) -> Iterator[Found]:
    """The documents in a stream of bytes.

    Args:
        format: how they are read.
        relative: the file's name in origins.
        first: lines of the file before the stream.
        offset: bytes of the file before the stream.
        packed: about how many bytes the whole stream was packed into.

    Raises:
        UnreadableError: it can't be read, or not to its end.
    """
    if format == "xml":
        start = stream.read(LOOKED_AT)
        format, stream = sniff(start) if sniff(start) == "mediawiki" else format, again(start, stream)
    if format == "code" and not options.contents.code:
        raise UnreadableError("source-code", "`code: true` in the source, or the preset `code` of the rules, reads it")
    if format == "jsonl":
        from groundup.corpus.sources.json_rows import read_jsonl

        yield from read_jsonl(stream, relative, options, first, offset)
    elif format == "json":
        from groundup.corpus.sources.json_rows import read_json

        yield from read_json(stream, relative, options)
    elif format == "wikipedia":
        from groundup.corpus.sources.wikipedia import read_articles

        yield from read_articles(stream, relative, options, offset)
    elif format == "mediawiki":
        from groundup.corpus.sources.mediawiki import read_pages

        yield from read_pages(stream, relative, options, offset=offset)
    elif format == "warc":
        from groundup.corpus.sources.archives import read_archive

        yield from read_archive(stream, relative, options)
    elif format == "parquet":
        from groundup.corpus.sources.parquet import read_parquet, spooled

        with spooled(stream, packed) as table:
            yield from read_parquet(table, relative, options)
    elif format in ("csv", "tsv"):
        from groundup.corpus.sources.tables import read_csv

        yield from read_csv(stream, relative, options, "," if format == "csv" else "\t")
    elif format == "mbox":
        from groundup.corpus.sources.mail import read_mbox

        yield from read_mbox(stream, relative, options)
    elif format == "mail":
        yield Unread(Location(relative), whole(stream, options.max_bytes), "mail")
    elif format == "text" and options.contents.documents == "line":
        from groundup.corpus.sources.lines import read_lines

        yield from read_lines(stream, relative, options, first, offset)
    else:
        yield from read_whole(stream, format, relative, options)
