"""From a row of a table to a document: the columns that a source names, by their path where they are nested."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from groundup.corpus.sources.record import Failed, Location, ReadOptions, Record
from groundup.corpus.sources.unreadable import UnreadableError

_MAX_NAMES = 20
_MISSING = object()


def row_record(row: Mapping[str, Any], location: Location, options: ReadOptions) -> Record | Failed:
    """The document in a row.

    A row without the text column, or with something else than text in it, is `no-text`. Titles, addresses and licences
    that are no text are skipped, with a note.
    """
    columns = options.contents
    notes: list[str] = []
    name = _field(row, columns.id) if columns.id else None
    if name is not None and name is not _MISSING:
        location = replace(location, origin=f"{location.origin}#{name}")
    if url := _optional(row, "url", columns.url, notes):
        location = replace(location, url=url)
    title = _optional(row, "title", columns.title, notes)
    licence = _optional(row, "licence", columns.licence_column, notes)
    text = _field(row, columns.text)
    if text is _MISSING:
        return Failed(location, no_column(columns.text, list(row)), is_row=True)
    if text is None:
        return Failed(location, UnreadableError("no-text", f"the column {columns.text} is empty"))
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            return Failed(location, UnreadableError("invalid-utf-8", str(error), float(error.start)), is_row=True)
    if not isinstance(text, str):
        detail = f"the column {columns.text} holds a {type(text).__name__}, no text"
        return Failed(location, UnreadableError("no-text", detail), is_row=True)
    if len(text) > options.max_bytes:
        return Failed(location, UnreadableError("too-large", "", float(len(text)), float(options.max_bytes)))
    return Record(location, text, title, licence, note=", ".join(notes))


def no_column(wanted: str, names: list[str]) -> UnreadableError:
    """The reason for what lacks the text column."""
    shown = ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
    return UnreadableError("no-text", f"there is no column {wanted!r}; the columns are {shown or 'none'}")


def _field(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column; `message.content` is the field `content` of the column `message`."""
    if path in row:
        return row[path]
    found: Any = row
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return _MISSING
        found = found[name]
    return found


def _optional(row: Mapping[str, Any], what: str, path: str, notes: list[str]) -> str:
    found = _field(row, path)
    if found is _MISSING or found is None:
        return ""
    if not isinstance(found, str):
        notes.append(f"{what} is no text")
        return ""
    return found
