"""The rows of a data file: JSON (an array, an object, lines), CSV, TSV or Parquet, plain or compressed.

Container and compression are recognised by content, whatever the file is called.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.artifacts.json_files import parse_json
from groundup.corpus.sources.streams import unpacked, whole
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

MAX_FILE_BYTES = 4 << 30
COMPRESSIONS = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
ROW_KEYS = ("data", "rows", "examples", "train")  # under which an object may hold its rows


@dataclass(frozen=True)
class Row:
    """A row and where it is."""

    where: str
    """`file:line`, or `file:row N` where rows are not lines."""
    value: Any
    """An object by its keys; or a `ValueError` where the line can't be parsed."""


def read_rows(path: Path) -> tuple[str, list[Row]]:
    """(container, rows): the container is `JSON lines`, `JSON`, `CSV`, `TSV` or `Parquet`.

    Raises:
        GroundupError: the file is missing, damaged or not such a file, or holds no row.
    """
    try:
        data = _bytes(path)
        if data.startswith(b"PAR1"):
            container, values = "Parquet", _parquet(data)
            rows = [Row(f"{path}:row {number}", value) for number, value in enumerate(values, 1)]
        else:
            container, rows = _text_rows(path, data.decode("utf-8-sig"))  # some programs write a byte order mark
    except UnicodeDecodeError as error:
        raise GroundupError(
            f"can't be read: it is not UTF-8 text ({error.reason} at byte {error.start:,})",
            where=str(path),
            do="save it as UTF-8",
        ) from error
    except (OSError, UnreadableError) as error:
        raise GroundupError(
            f"can't be read ({error})", where=str(path), do="name a JSON, CSV or Parquet file"
        ) from error
    if not rows:
        raise GroundupError("holds no row", where=str(path), do="name a file with examples, or leave `data` out")
    return container, rows


def _bytes(path: Path) -> bytes:
    """The file's content, uncompressed."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        suffix = next((suffix for magic, suffix in COMPRESSIONS.items() if start.startswith(magic)), "")
        return whole(unpacked(file, suffix), MAX_FILE_BYTES)


def _parquet(data: bytes) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(data)).to_pylist()
    except pa.ArrowException as error:
        raise UnreadableError("corrupt", str(error)) from error
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _text_rows(path: Path, text: str) -> tuple[str, list[Row]]:
    start = text.lstrip()[:1]
    if not start:
        return "JSON", []
    if start not in "[{":
        return _table(path, text)
    first_line = text.lstrip().partition("\n")[0]
    if start == "{" and (isinstance(_parsed(first_line), dict) or isinstance(_parsed(text), ValueError)):
        return "JSON lines", list(_lines(path, text))
    value = _parsed(text)
    if isinstance(value, ValueError):
        raise GroundupError(f"is no JSON ({value})", where=str(path), do="correct the file")
    if isinstance(value, dict):
        value = next((value[key] for key in ROW_KEYS if isinstance(value.get(key), list)), [value])
    return "JSON", [Row(f"{path}:row {number}", row) for number, row in enumerate(value, 1)]


def _lines(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: strings may hold other line ends
        if line.strip():
            yield Row(f"{path}:{number}", _parsed(line))


def _parsed(text: str) -> Any:
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        at = f"column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        return ValueError(f"{error.msg}, {at}" if isinstance(error, json.JSONDecodeError) else at)


def _table(path: Path, text: str) -> tuple[str, list[Row]]:
    head = text.lstrip().partition("\n")[0]
    container, delimiter = ("TSV", "\t") if "\t" in head else ("CSV", ",")
    csv.field_size_limit(1 << 30)
    rows: list[Row] = []
    reader = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return container, rows
        except csv.Error as error:
            rows.append(Row(f"{path}:{line}", ValueError(str(error))))
            continue
        if not names:
            names = [name.strip() for name in values]
            if len(names) < 2:
                raise GroundupError(
                    "is neither JSON nor a table of several columns nor Parquet", where=str(path), do="name a data file"
                )
        elif len(values) > len(names):
            fields = f"{len(values)} fields, where the head has {len(names)}"
            rows.append(Row(f"{path}:{line}", ValueError(fields)))
        elif values:
            rows.append(Row(f"{path}:{line}", dict(zip(names, values, strict=False))))
