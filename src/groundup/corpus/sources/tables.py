"""Documents in the rows of CSV and TSV files: origin `table.csv:12`, rows counted from 1 without the heads."""

import csv
from collections.abc import Iterator
from itertools import chain

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.fields import no_column, row_record
from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.streams import ByteStream, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.corpus.sources.wide import in_utf8


def read_csv(
    stream: ByteStream, relative: str, options: ReadOptions, delimiter: str = ","
) -> Iterator[Record | Failed]:
    """The rows of a table whose first line names the columns; a table of one column is read whatever it is called.

    Raises:
        UnreadableError: it lacks the text column, or breaks off.
    """
    csv.field_size_limit(options.max_bytes)
    lines, wanted = _lines(stream, options), options.contents.text
    heads = next(lines, "")
    rows = csv.reader(chain([heads], lines), delimiter=_delimiter(heads, delimiter, wanted))
    names = [name.strip() for name in next(rows, [])]
    if len(names) == 1:
        names = [wanted]
    if wanted not in names:
        raise no_column(wanted, names)
    number = 0
    while True:
        location = Location(f"{relative}:{number + 1}")
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield Failed(location, UnreadableError("bad-row", str(error)), is_row=True)
            continue
        if not row:
            continue
        number += 1
        if len(row) > len(names):
            detail = f"{len(row)} fields, where the heads name {len(names)}"
            yield Failed(location, UnreadableError("bad-row", detail), is_row=True)
        else:
            yield row_record(dict(zip(names, row, strict=False)), location, options)


def _delimiter(heads: str, usual: str, wanted: str) -> str:
    """What is between the columns: spreadsheets of many countries write `;` where others write a comma."""

    def names_it(delimiter: str) -> bool:
        names = [name.strip() for name in next(csv.reader([heads], delimiter=delimiter), [])]
        return len(names) > 1 and wanted in names

    return next((one for one in (usual, ";", "\t") if names_it(one)), usual)


def _lines(stream: ByteStream, options: ReadOptions) -> Iterator[str]:
    if options.contents.extraction.encoding == "auto":
        stream, _ = in_utf8(stream)
    for _, _, line in bounded_lines(stream, options.max_bytes, keep_blank=True):
        if isinstance(line, UnreadableError):
            raise line
        yield decode(line, options.contents.extraction.encoding).rstrip("\r") + "\n"
