"""Files of a person's own, of every format: a folder is found, cut into pieces, and each piece read into documents.

    folder -> walk (sorted) -> pieces -> one reader per format -> records -> extraction in batches -> documents

A document that can't be read never stops the others and is never lost silently: it comes out as Dropped with the rule
that it broke. Only what concerns the whole source (a missing folder) is an error.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.corpus.clean import clean, repair, squeeze
from groundup.corpus.documents import EXCERPT_CHARACTERS, Document, Dropped
from groundup.corpus.extraction.pool import BATCH_BYTES, BATCH_PAGES, Extracted, Extractor, Page, extractor
from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.piece import Piece
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record, read_whole
from groundup.corpus.sources.streams import ByteStream, open_stream, whole
from groundup.corpus.sources.unreadable import UnreadableError


def read_file(piece: Piece, path: Path, contents: Contents, max_bytes: int) -> Iterator[Document | Dropped]:
    """Every document of one piece of a file, in order, and every one that can't be read.

    Args:
        piece: what to read.
        path: where this machine has it.
        contents: how the source's files are read.
        max_bytes: files, lines, rows and records above this size are dropped as `too-large`.

    Raises:
    """
    options = ReadOptions(contents, max_bytes)
    with_text = _extracted(_records(piece, path, options), extractor(contents.extraction))
    for found in with_text:
        if isinstance(found, Failed):
            yield _dropped(found, piece, contents)
            continue
        yield _document(found, piece, contents)
        if found.missing:
            rest = UnreadableError("truncated", f"a part of the document is missing ({found.missing})")
            yield _dropped(Failed(found.location, rest), piece, contents)


def _records(piece: Piece, path: Path, options: ReadOptions) -> Iterator[Record | Failed]:
    if not piece.format:
        yield Failed(Location(piece.relative), UnreadableError(piece.skipped))
        return
    found = False
    try:
        for one in _opened(piece, path, options):
            found = True
            yield one
        if not found and piece.end < 0:
            raise UnreadableError("no-document", "there is none in this file")
    except UnreadableError as error:
        yield Failed(Location(piece.relative), error)


def _opened(piece: Piece, path: Path, options: ReadOptions) -> Iterator[Record | Failed]:
    def read_member(stream: ByteStream, format: str, relative: str, packed: int) -> Iterator[Record | Failed]:
        return read_stream(stream, format, relative, options, packed=packed)

    if piece.format == "parquet":
        from groundup.corpus.sources.parquet import read_parquet, seekable

        with seekable(path) as table:
            yield from read_parquet(table, piece.relative, options, (piece.start, piece.end), piece.first)
    elif piece.format == "zip":
        from groundup.corpus.sources.zipped import read_zip

        span = (piece.start, piece.end)
        yield from read_zip(path, piece.relative, read_member, span, options.contents.format)
    elif piece.format == "tar":
        from groundup.corpus.sources.tarred import read_tar

        with open_stream(path) as stream:
            yield from read_tar(stream, piece.relative, read_member, options.contents.format)
    else:
        with open_stream(path, piece.start, piece.end) as stream:
            yield from read_stream(stream, piece.format, piece.relative, options, piece.first, piece.start)


def read_stream(
    stream: ByteStream,
    format: str,
    relative: str,
    options: ReadOptions,
    first: int = 0,
    offset: int = 0,
    packed: int = 0,
) -> Iterator[Record | Failed]:
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
        from groundup.corpus.sources.mail import mail

        yield mail(whole(stream, options.max_bytes), Location(relative), options)
    elif format == "text" and options.contents.documents == "line":
        from groundup.corpus.sources.lines import read_lines

        yield from read_lines(stream, relative, options, first, offset)
    else:
        yield from read_whole(stream, format, relative, options)


def _extracted(found: Iterable[Record | Failed], worker: Extractor) -> Iterator[Record | Failed]:
    """`found` with pages turned into text, in the same order; at most a batch of pages is held."""
    held: list[Record | Failed] = []
    pages = size = 0
    for one in found:
        if isinstance(one, Record) and one.page is not None:
            pages += 1
        elif not pages:
            yield one
            continue
        held.append(one)
        size += len(one.text) if isinstance(one, Record) else len(one.start)
        if pages >= BATCH_PAGES or size >= BATCH_BYTES:
            yield from _with_text(held, worker)
            held, pages, size = [], 0, 0
    yield from _with_text(held, worker)


def _with_text(held: list[Record | Failed], worker: Extractor) -> Iterator[Record | Failed]:
    pages = [Page(one.page, one.text) for one in held if isinstance(one, Record) and one.page is not None]
    answers = iter(worker.extract(pages))
    for one in held:
        if isinstance(one, Failed) or one.page is None:
            yield one
            continue
        answer = next(answers)
        if isinstance(answer, Extracted):
            note = "precision given up" if answer.fell_back else ""
            yield replace(one, text=answer.text, title=answer.title or one.title, page=None, note=note)
        else:
            yield Failed(one.location, answer, one.text[:EXCERPT_CHARACTERS].encode("utf-8", "replace"))


def _document(record: Record, piece: Piece, contents: Contents) -> Document | Dropped:
    text, title = record.text, record.title
    if contents.extraction.repair:
        text, title = repair(text), repair(title)
    text, title = clean(text), squeeze(clean(title))
    location = record.location
    known: dict[str, Any] = {
        "title": title,
        "source": piece.source,
        "origin": location.origin,
        "offset": location.offset,
        "url": location.url,
        "licence": record.licence or contents.licence,
    }
    return Document(text=text, note=record.note, **known) if text else Dropped(rule="no-text", **known)


def _dropped(failed: Failed, piece: Piece, contents: Contents) -> Dropped:
    location, error = failed.location, failed.error
    start = clean(failed.start[:EXCERPT_CHARACTERS].decode("utf-8", "replace"))
    return Dropped(
        source=piece.source,
        origin=location.origin,
        rule=error.rule,
        value=error.value,
        threshold=error.threshold,
        excerpt=error.detail or start,
        offset=location.offset,
        url=location.url,
        licence=contents.licence,
        is_row=failed.is_row,
    )
