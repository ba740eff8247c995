"""Documents in the rows of Parquet files: origin `all.parquet:12`, rows counted from 1."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.corpus.sources.fields import no_column, row_record
from groundup.corpus.sources.piece import FilePart
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import COMPRESSED, ByteStream, check_growth, open_stream
from groundup.corpus.sources.unreadable import UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 64  # rows of a parquet file in memory at a time
_BATCH_BYTES = 256 << 20  # and fewer of them where a column's row group is larger than this when unpacked


def read_parquet(
    path: Path, relative: str, options: ReadOptions, groups: tuple[int, int] = (0, -1), first: int = 0
) -> Iterator[Record | Failed]:
    """The rows of a table.

    Args:
        path: where this machine has it.
        groups: the first row group, and the one after the last; -1 for all.
        first: rows before them.

    Raises:
        UnreadableError: it is `corrupt`, or `no-text` where it lacks the text column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file, pq.ParquetFile(file) as table:  # Arrow itself opens no name that is not UTF-8
            schema, columns = table.schema_arrow, options.contents
            wanted = dict.fromkeys([columns.text, columns.title, columns.url, columns.id, columns.licence_column])
            wanted_here = [path for path in wanted if path and _has(schema, path)]
            if columns.text not in wanted_here:
                raise no_column(columns.text, schema.names)
            last = table.metadata.num_row_groups if groups[1] < 0 else groups[1]
            number, given, packed = first, 0, path.stat().st_size
            for group in range(groups[0], last):
                metadata = table.metadata.row_group(group)
                size = max(metadata.column(at).total_uncompressed_size for at in range(metadata.num_columns))
                # A dictionary of one huge word can give any number of huge rows: few of those at a time, then.
                rows = max(1, min(_ROWS, _BATCH_BYTES // max(1, size)))
                for batch in table.iter_batches(batch_size=rows, row_groups=[group], columns=wanted_here):
                    given += batch.nbytes
                    for row in batch.to_pylist():
                        number += 1
                        yield row_record(row, Location(f"{relative}:{number}", number - 1), options)
                    check_growth(given, packed)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise UnreadableError("corrupt", str(error)) from error
    except OSError as error:
        raise UnreadableError("corrupt", error.strerror or str(error)) from error


def row_groups(path: Path) -> list[FilePart]:
    """Each row group, of which `bytes` are the compressed ones.

    Raises:
        UnreadableError: it is `corrupt`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file, pq.ParquetFile(file) as table:
            groups = [table.metadata.row_group(at) for at in range(table.metadata.num_row_groups)]
    except (OSError, pa.ArrowInvalid) as error:
        raise UnreadableError("corrupt", str(error)) from error
    return [_part(group) for group in groups]


def _part(group: Any) -> FilePart:
    columns = [group.column(at) for at in range(group.num_columns)]
    spans = []
    for column in columns:
        pages = [column.data_page_offset]
        if column.has_dictionary_page and column.dictionary_page_offset:
            pages.append(column.dictionary_page_offset)
        spans.append((min(pages), min(pages) + column.total_compressed_size))
    start, end = min((start for start, _ in spans), default=0), max((end for _, end in spans), default=0)
    return FilePart(sum(column.total_compressed_size for column in columns), group.num_rows, start, end)


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


def _has(schema: "pa.Schema", path: str) -> bool:
    """Whether there is a column, or a field within a column, of this path."""
    import pyarrow as pa

    if path in schema.names:
        return True
    name, *rest = path.split(".")
    field = schema.field(name) if name in schema.names else None
    for name in rest:
        if field is None or not pa.types.is_struct(field.type) or field.type.get_field_index(name) < 0:
            return False
        field = field.type.field(name)
    return field is not None
