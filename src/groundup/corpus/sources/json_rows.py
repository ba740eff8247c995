"""Documents in JSON: an object per line, an array of objects, or one object.

rows.jsonl, rows.json   {"text": "One."}
                        {"text": "Two."}                         ->  rows.jsonl:1, rows.jsonl:2
array.json              [{"text": "One."}, {"text": "Two."}]     ->  array.json:1, array.json:2
page.json               {"text": "One.",
                         "title": "A page"}                      ->  page.json
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.fields import row_record
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Record, Unread
from groundup.corpus.sources.streams import ByteStream, again, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError

_START = 1 << 16
_SPACE = " \t\r\n"


def read_jsonl(
    stream: ByteStream, relative: str, options: ReadOptions, first: int = 0, offset: int = 0
) -> Iterator[Found]:
    """A JSON object per line, in UTF-8 as JSON is.

    Args:
        first: lines before the stream.
        offset: bytes before the stream.
    """
    for number, at, line in bounded_lines(stream, options.max_bytes, first + 1, offset):
        location = Location(f"{relative}:{number}", at)
        if isinstance(line, UnreadableError):
            yield Failed(location, line)
        else:
            yield Unread(location, line, "json-row")


def json_record(found: Unread, options: ReadOptions) -> Record | Failed:
    """The document in a line of JSON."""
    try:
        row = _object(json.loads(decode(found.data, "utf-8")))
    except UnreadableError as error:
        return Failed(found.location, error, found.data, is_row=True)
    except (ValueError, RecursionError) as error:
        return Failed(found.location, UnreadableError("bad-json", str(error)), found.data, is_row=True)
    return row_record(row, found.location, options)


def read_json(stream: ByteStream, relative: str, options: ReadOptions) -> Iterator[Found]:
    """A `.json` file: an array of objects, one object, or an object per line.

    Raises:
        UnreadableError: `bad-json`, where it is none of these; an array of anything else is one such reason.
    """
    start = stream.read(_START)
    while start.isspace() and (more := stream.read(_START)):
        start = more
    stream = again(start, stream)
    opening = start.decode("utf-8-sig", "ignore").lstrip(_SPACE)[:1]
    first_line = start.lstrip().partition(b"\n")[0]
    if opening == "{" and len(first_line) < len(start.lstrip()) and _is_object(first_line):
        yield from read_jsonl(stream, relative, options)
        return
    if opening not in ("[", "{"):
        raise UnreadableError("bad-json", "it begins neither with [ nor with {")
    is_array = opening == "["
    for number, value in enumerate(_Values(stream, options.max_bytes, is_array), 1):
        location = Location(f"{relative}:{number}" if is_array else relative)
        if number == 1 and is_array and not isinstance(value, dict):
            raise UnreadableError("bad-json", f"an array of {type(value).__name__}, not of objects")
        try:
            found = row_record(_object(value), location, options)
        except UnreadableError as error:
            found = Failed(location, error, is_row=True)
        # A single object is no row: settings and manifests are in such files, and no table lacks them.
        yield found if is_array or isinstance(found, Record) else Failed(found.location, found.error)


class _Values:
    """The elements of an array, or the one value of a file, parsed as they come."""

    def __init__(self, stream: ByteStream, limit: int, is_array: bool) -> None:
        self._stream, self._limit, self._is_array = stream, limit, is_array
        self._decoder, self._parser = codecs.getincrementaldecoder("utf-8-sig")(), json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False

    def __iter__(self) -> Iterator[Any]:
        """Every value.

        Raises:
            UnreadableError: `bad-json`, `invalid-utf-8`, `too-large`, or what the stream raises.
        """
        if self._is_array:
            self._expect("[")
            if self._next() == "]":
                return
        while True:
            yield self._value()
            if not self._is_array:
                if self._next():
                    raise UnreadableError("bad-json", "there is more after the object")
                return
            if self._next() == "]":
                return
            self._expect(",")

    def _value(self) -> Any:
        """The value that begins here. Twice as much is read each time that it isn't complete."""
        self._next()
        wanted = _START
        while True:
            try:
                value, end = self._parser.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise UnreadableError("bad-json", str(error)) from error
                if len(self._text) - self._at > self._limit:
                    size = float(len(self._text) - self._at)
                    raise UnreadableError("too-large", "a value", size, float(self._limit)) from error
                self._read(wanted)
                wanted *= 2
                continue
            if end < len(self._text) or self._ended or not isinstance(value, int | float):
                self._at = end
                return value
            self._read(_START)  # a number at the end of what was read may be longer

    def _next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read(_START)

    def _expect(self, character: str) -> None:
        found = self._next()
        if found != character:
            raise UnreadableError("bad-json", f"{character!r} expected, not {found or 'the end'!r}")
        self._at += 1

    def _read(self, size: int) -> None:
        """Add at least `size` bytes to the text, fewer only at the end; forget what was parsed."""
        parts = [self._text[self._at :]]
        self._at = 0
        try:
            while size > 0 and not self._ended:
                data = self._stream.read(min(size, _START))
                self._ended = not data
                parts.append(self._decoder.decode(data, final=not data))
                size -= len(data)
        except UnicodeDecodeError as error:
            raise UnreadableError("invalid-utf-8", str(error)) from error
        self._text = "".join(parts)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableError("bad-json", f"a {type(value).__name__}, not an object")
    return value


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
