"""Documents in rows: lines of text, lines of JSON, and tables of Parquet.

talks/rows.jsonl   one per line, origin `talks/rows.jsonl:12`, or `talks/rows.jsonl:12#its-id`
all.parquet        one per row, origin `all.parquet:12`, rows counted from 1
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import (
    COMPRESSED,
    ByteStream,
    bounded_lines,
    check_growth,
    open_stream,
)
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

_ROWS = 64  # rows of a parquet file in memory at a time
_BATCH_BYTES = 256 << 20  # and fewer of them where a column's row group is larger than this when unpacked


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


def read_jsonl(
    stream: ByteStream, relative: str, where: str, options: ReadOptions, first: int = 0, offset: int = 0
) -> Iterator[Record | Failed]:
    """A JSON object per line, in UTF-8 as JSON is.

    Args:
        where: the file, for errors.
        first: lines before the stream.
        offset: bytes before the stream.

    Raises:
        GroundupError: a line lacks the text column.
    """
    for number, at, line in bounded_lines(stream, options.max_bytes, first + 1, offset):
        location = Location(f"{relative}:{number}", at)
        if isinstance(line, UnreadableError):
            yield Failed(location, line)
            continue
        try:
            row = _json_object(decode(line, "utf-8"))
        except UnreadableError as error:
            yield Failed(location, error, line)
            continue
        if options.contents.text not in row:
            raise _no_column(options, f"{where}:{number}", list(row))
        yield _row(row, location, options)


def read_parquet(
    path: Path, relative: str, where: str, options: ReadOptions, groups: tuple[int, int] = (0, -1), first: int = 0
) -> Iterator[Record | Failed]:
    """The rows of a table.

    Args:
        path: where this machine has it.
        where: the file, for errors.
        groups: the first row group, and the one after the last; -1 for all.
        first: rows before them.

    Raises:
        GroundupError: it lacks the text column.
        UnreadableError: it is `corrupt`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            columns = options.contents
            if columns.text not in names:
                raise _no_column(options, where, names)
            wanted = dict.fromkeys([columns.text, columns.title, columns.url, columns.id, columns.licence_column])
            wanted_here = [name for name in wanted if name in names]
            last = table.metadata.num_row_groups if groups[1] < 0 else groups[1]
            number = first
            for group in range(groups[0], last):
                metadata = table.metadata.row_group(group)
                size = max(metadata.column(at).total_uncompressed_size for at in range(metadata.num_columns))
                # A dictionary of one huge word can give any number of huge rows: few of those at a time, then.
                rows = max(1, min(_ROWS, _BATCH_BYTES // max(1, size)))
                for batch in table.iter_batches(batch_size=rows, row_groups=[group], columns=wanted_here):
                    for row in batch.to_pylist():
                        number += 1
                        yield _row(row, Location(f"{relative}:{number}", number - 1), options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise UnreadableError("corrupt", str(error)) from error
    except OSError as error:
        raise UnreadableError("corrupt", error.strerror or str(error)) from error


@contextmanager
def seekable(path: Path) -> Iterator[Path]:
    """`path` itself, or its uncompressed bytes in a temporary file: parquet is read from its end."""
    if path.suffix.lower() not in COMPRESSED:
        yield path
        return
    with open_stream(path) as stream, spooled(stream, path.stat().st_size) as name:
        yield name


@contextmanager
def spooled(stream: ByteStream, packed: int) -> Iterator[Path]:
    """The bytes of a stream in a temporary file.

    Raises:
        UnreadableError: `unpacks-too-large`; they are more than `UNPACKED_TIMES` as many as `packed`.
    """
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        while chunk := stream.read(1 << 20):
            file.write(chunk)
            check_growth(stream.given, packed)
        file.flush()
        yield Path(file.name)


def _row(row: Mapping[str, Any], location: Location, options: ReadOptions) -> Record | Failed:
    columns = options.contents
    url, name = row.get(columns.url), row.get(columns.id) if columns.id else None
    origin = location.origin if name is None else f"{location.origin}#{name}"
    location = Location(origin, location.offset, url if isinstance(url, str) else "")
    text = row[columns.text]
    if not isinstance(text, str):
        return Failed(location, UnreadableError("no-text", f"the column {columns.text} holds no string"))
    if len(text) > options.max_bytes:
        return Failed(location, UnreadableError("too-large", "", float(len(text)), float(options.max_bytes)))
    title, licence = row.get(columns.title), row.get(columns.licence_column)
    return Record(location, text, title if isinstance(title, str) else "", licence if isinstance(licence, str) else "")


def _json_object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("bad-json", str(error)) from error
    if not isinstance(row, dict):
        raise UnreadableError("bad-json", f"a line holds a {type(row).__name__}, not an object")
    return row


def _no_column(options: ReadOptions, where: str, names: list[str]) -> GroundupError:
    return GroundupError(
        f"there is no column {options.contents.text!r}; the columns are {', '.join(names) or 'none'}",
        where=where,
        do="name the one that holds the text with `text:` in this source",
    )
