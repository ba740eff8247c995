"""Documents in JSON: an object per line, an array of objects, or objects one after another.

rows.jsonl, rows.json   {"text": "One."}
                        {"text": "Two."}                         ->  rows.jsonl:1, rows.jsonl:2
array.json              [{"text": "One."}, {"text": "Two."}]     ->  array.json:1, array.json:2
page.json               {"text": "One.",
                         "title": "A page"}                      ->  page.json
rows.jsonl              {"text": "One."}{"text": "Two."}         ->  rows.jsonl:1.1, rows.jsonl:1.2

UTF-16 and UTF-32 are read too. What is in several lines is read as one value, whatever the file is called.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from groundup.corpus.extraction.encoding import decode
from groundup.corpus.sources.fields import row_record
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Record, Unread
from groundup.corpus.sources.streams import ByteStream, again, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.corpus.sources.wide import in_utf8

_START = 1 << 16
_SPACE = " \t\r\n"
_SPACE_OR_MARK = f"{_SPACE}\ufeff"
_BEFORE = b" \t\r\n\xef\xbb\xbf"
_TOUCHING = re.compile(rb"\}\s*\{")
_WORDS = ("true", "false", "null", "NaN", "-")


def read_jsonl(
    stream: ByteStream, relative: str, options: ReadOptions, first: int = 0, offset: int = 0
) -> Iterator[Found]:
    """A JSON object per line, in UTF-8 as JSON is; or in several lines, where the first line does not end it.

    Args:
        first: lines before the stream.
        offset: bytes before the stream.
    """
    is_wide = False
    if not first and not offset:
        stream, is_wide = in_utf8(stream)
        start = _beginning(stream)
        stream = again(start, stream)
        if _spans_lines(start):
            yield from _read_values(stream, relative, options, is_array=start.lstrip(_BEFORE)[:1] == b"[")
            return
    yield from _read_lines(stream, relative, options, first, offset, is_wide)


def _read_lines(
    stream: ByteStream, relative: str, options: ReadOptions, first: int = 0, offset: int = 0, is_wide: bool = False
) -> Iterator[Found]:
    """An object per line, or several one after another; of what was in another encoding no offset is known."""
    for number, at, line in bounded_lines(stream, options.max_bytes, first + 1, offset):
        origin = f"{relative}:{number}"
        if isinstance(line, UnreadableError):
            yield Failed(Location(origin, -1 if is_wide else at), line)
            continue
        rows = _rows(line) if _TOUCHING.search(line) else [line]
        for count, row in enumerate(rows, 1):
            location = Location(origin if len(rows) == 1 else f"{origin}.{count}", -1 if is_wide else at)
            yield Unread(location, row, "json-row")
            at += len(row)


def _rows(line: bytes) -> list[bytes]:
    """The values in a line, with the white space after each: some programs write several, one after another."""
    rows: list[bytes] = []
    text, at, parser = line.decode("utf-8", "surrogateescape"), 0, json.JSONDecoder()
    begin = len(text) - len(text.lstrip(_SPACE_OR_MARK))
    while at < len(text):
        try:
            _, end = parser.raw_decode(text, begin)
        except (ValueError, RecursionError):
            end = len(text)
        while end < len(text) and text[end] in _SPACE:
            end += 1
        rows.append(text[at:end].encode("utf-8", "surrogateescape"))
        at = begin = end
    return rows


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
    """A `.json` file: an array of objects, one object, several one after another, or an object per line.

    Raises:
        UnreadableError: `bad-json`, where it is none of these; an array of anything else is one such reason.
    """
    stream, is_wide = in_utf8(stream)
    start = _beginning(stream)
    while start.isspace() and (more := _beginning(stream)):
        start = more
    stream = again(start, stream)
    opening = start.decode("utf-8-sig", "ignore").lstrip(_SPACE)[:1]
    first_line = start.lstrip().partition(b"\n")[0]
    if opening == "{" and len(first_line) < len(start.lstrip()) and _is_object(first_line):
        yield from _read_lines(stream, relative, options, is_wide=is_wide)
        return
    if opening not in ("[", "{"):
        raise UnreadableError("bad-json", "it begins neither with [ nor with {")
    yield from _read_values(stream, relative, options, is_array=opening == "[")


def _read_values(stream: ByteStream, relative: str, options: ReadOptions, is_array: bool) -> Iterator[Found]:
    """The elements of an array, or objects one after another; origins count them, unless a file has only one.

    Raises:
        UnreadableError: see `read_json`.
    """
    for number, (value, is_alone) in enumerate(_Values(stream, options.max_bytes, is_array), 1):
        location = Location(relative if is_alone else f"{relative}:{number}")
        if not isinstance(value, dict) and (number == 1 or not is_array):
            what = type(value).__name__
            detail = f"an array of {what}, not of objects" if is_array else f"a {what} after an object"
            raise UnreadableError("bad-json", detail)
        try:
            found = row_record(_object(value), location, options)
        except UnreadableError as error:
            found = Failed(location, error, is_row=True)
        # A single object is no row: settings and manifests are in such files, and no table lacks them.
        yield Failed(found.location, found.error) if is_alone and isinstance(found, Failed) else found


class _Values:
    """The elements of an array, or values one after another, parsed as they come."""

    def __init__(self, stream: ByteStream, limit: int, is_array: bool) -> None:
        self._stream, self._limit, self._is_array = stream, limit, is_array
        self._decoder, self._parser = codecs.getincrementaldecoder("utf-8-sig")(), json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False

    def __iter__(self) -> Iterator[tuple[Any, bool]]:
        """Every value, and whether it is no element and the only one.

        Raises:
            UnreadableError: `bad-json`, `invalid-utf-8`, `too-large`, or what the stream raises.
        """
        if self._is_array:
            self._expect("[")
            if self._next() == "]":
                return
        is_first = True
        while True:
            value, following = self._value(), ""
            failure: UnreadableError | None = None
            try:
                following = self._next()
            except UnreadableError as error:
                failure = error
            yield value, is_first and not self._is_array and not following and failure is None
            if failure is not None:
                raise failure
            if self._is_array and following != "]":
                self._expect(",")
            elif self._is_array or not following:
                return
            is_first = False

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


def _beginning(stream: ByteStream) -> bytes:
    """The next `_START` bytes or a little more; fewer only at the end."""
    start = bytearray()
    while len(start) < _START and (more := stream.read(_START)):
        start += more
    return bytes(start)


def _spans_lines(start: bytes) -> bool:
    """Whether the value with which a file begins does not end in the line in which it begins, as far as is known."""
    text = start.decode("utf-8", "ignore").lstrip(_SPACE_OR_MARK)
    line, newline, _ = text.partition("\n")
    if not newline or text[:1] not in ("{", "[") or _is_object(line.encode()):
        return False
    try:
        return json.JSONDecoder().raw_decode(text)[1] > len(line)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].rstrip()  # where the text is cut: nothing, or a part of a word or of an escape
        cut_escape = error.msg.startswith("Invalid \\u") and len(rest) < len("\\u4e2d")
        return cut_escape or error.msg.startswith("Unterminated") or any(word.startswith(rest) for word in _WORDS)
    except RecursionError:
        return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
