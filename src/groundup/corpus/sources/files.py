"""Files of a person's own, of every format: a folder is found, cut into pieces, and each piece read into documents.

    folder -> walk (sorted) -> pieces -> one reader per format -> decoded and parsed -> pages extracted -> documents

A document that can't be read never stops the others and is never lost silently: it comes out as Dropped with the rule
that it broke. Only what concerns the whole source (a missing folder) is an error.

This runs in a process of its own (`reader.py`), since nobody knows what a file can do to the libraries that read it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from groundup.corpus.clean import clean, others_of, repair, squeeze
from groundup.corpus.documents import EXCERPT_CHARACTERS, Document, Dropped
from groundup.corpus.extraction.pool import BATCH_BYTES, BATCH_PAGES, Extracted, Extractor, Page, extractor
from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.parse import record_of
from groundup.corpus.sources.piece import Piece
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Record, Unread
from groundup.corpus.sources.streams import open_stream
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError


@dataclass
class Watch:
    """What a reading process does around each document, and what it knows of documents that ended one before it."""

    skip: int = 0
    """So many of the piece's documents were read before."""
    bad: Mapping[int, UnreadableError] = field(default_factory=dict)
    """Documents that can't be read, by their index in the piece."""

    def begin(self, index: int) -> None:
        """The work on a document begins."""

    def end(self) -> None:
        """It ends, for now."""


def read_file(
    piece: Piece, path: Path, contents: Contents, max_bytes: int, watch: Watch
) -> Iterator[tuple[int, Document | Dropped]]:
    """Every document of one piece of a file, in order, and every one that can't be read, with its index in the piece.

    Args:
        piece: what to read.
        path: where this machine has it.
        contents: how the source's files are read.
        max_bytes: files, lines, rows and records above this size are dropped as `too-large`.
        watch: what is done around each document.
    """
    options = ReadOptions(contents, max_bytes)
    worker = extractor(contents.extraction)
    for batch in _batches(_parsed(_found(piece, path, options), options, watch)):
        for index, one in _with_text(batch, worker):
            watch.begin(index)
            for item in _items(one, piece, contents):
                yield index, item
            watch.end()


def _found(piece: Piece, path: Path, options: ReadOptions) -> Iterator[Found]:
    """What is in the piece, not decoded yet; what a reader raises ends the piece with a reason."""
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
    except (MemoryError, GroundupError):
        raise
    except Exception as error:  # libraries raise what they like at what they don't know
        yield Failed(Location(piece.relative), _failure(error))


def _opened(piece: Piece, path: Path, options: ReadOptions) -> Iterator[Found]:
    from groundup.corpus.sources.readers import read_stream

    if piece.format == "parquet":
        from groundup.corpus.sources.parquet import read_parquet, seekable

        with seekable(path) as table:
            yield from read_parquet(table, piece.relative, options, (piece.start, piece.end), piece.first)
    elif piece.format == "zip":
        from groundup.corpus.sources.zipped import read_zip

        yield from read_zip(path, piece.relative, options, (piece.start, piece.end))
    elif piece.format == "tar":
        from groundup.corpus.sources.tarred import read_tar

        with open_stream(path) as stream:
            yield from read_tar(stream, piece.relative, options)
    elif piece.format == "mediawiki" and piece.start:
        from groundup.corpus.sources.mediawiki import read_pages, wiki_of

        with open_stream(path) as stream:
            wiki, _ = wiki_of(stream)
        with open_stream(path, piece.start, piece.end) as stream:
            yield from read_pages(stream, piece.relative, options, wiki, piece.start)
    else:
        with open_stream(path, piece.start, piece.end) as stream:
            yield from read_stream(stream, piece.format, piece.relative, options, piece.first, piece.start)


def _parsed(found: Iterator[Found], options: ReadOptions, watch: Watch) -> Iterator[tuple[int, Record | Failed]]:
    """Decoded and parsed, without those that were read before."""
    for index, one in enumerate(found):
        if index < watch.skip:
            watch.end()
            continue
        watch.begin(index)
        if index in watch.bad:
            parsed: Record | Failed = Failed(one.location, watch.bad[index])
        elif isinstance(one, Unread):
            parsed = _read(one, options)
        else:
            parsed = one
        watch.end()
        yield index, parsed


def _read(one: Unread, options: ReadOptions) -> Record | Failed:
    try:
        parsed = record_of(one, options)
    except (MemoryError, GroundupError):
        raise
    except Exception as error:  # libraries raise what they like at what they don't know
        return Failed(one.location, _failure(error), one.data)
    return replace(parsed, missing=one.missing) if one.missing and isinstance(parsed, Record) else parsed


def _failure(error: Exception) -> UnreadableError:
    return UnreadableError("reading-failed", f"{type(error).__name__}: {error}")


def _batches(found: Iterable[tuple[int, Record | Failed]]) -> Iterator[list[tuple[int, Record | Failed]]]:
    """Documents as they come, and from a page on as many as make a batch for the extractor."""
    held: list[tuple[int, Record | Failed]] = []
    pages = size = 0
    for index, one in found:
        held.append((index, one))
        pages += isinstance(one, Record) and one.page is not None
        size += len(one.text) if isinstance(one, Record) else len(one.start)
        if not pages or pages >= BATCH_PAGES or size >= BATCH_BYTES:
            yield held
            held, pages, size = [], 0, 0
    if held:
        yield held


def _with_text(held: list[tuple[int, Record | Failed]], worker: Extractor) -> Iterator[tuple[int, Record | Failed]]:
    """The batch with pages turned into text."""
    pages = [Page(one.page, one.text) for _, one in held if isinstance(one, Record) and one.page is not None]
    answers = iter(worker.extract(pages) if pages else ())
    for index, one in held:
        if isinstance(one, Failed) or one.page is None:
            yield index, one
            continue
        answer = next(answers)
        if isinstance(answer, Extracted):
            note = "precision given up" if answer.fell_back else ""
            yield index, replace(one, text=answer.text, title=answer.title or one.title, page=None, note=note)
        else:
            yield index, Failed(one.location, answer, one.text[:EXCERPT_CHARACTERS].encode("utf-8", "replace"))


def _items(one: Record | Failed, piece: Piece, contents: Contents) -> Iterator[Document | Dropped]:
    if isinstance(one, Failed):
        yield _dropped(one, piece, contents)
        return
    yield _document(one, piece, contents)
    if one.missing:
        rest = UnreadableError("truncated", f"a part of the document is missing ({one.missing})")
        yield _dropped(Failed(one.location, rest), piece, contents)


def _document(record: Record, piece: Piece, contents: Contents) -> Document | Dropped:
    text, title = record.text, record.title
    others = others_of(text)
    if contents.extraction.repair:
        repaired, title = repair(text, others), repair(title)
        if repaired is not text:
            text, others = repaired, others_of(repaired)
    text, title = clean(text, others), squeeze(clean(title))
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
