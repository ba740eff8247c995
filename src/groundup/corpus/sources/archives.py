"""Web archives: WARC and WET by FastWARC, and the older ARC.

    response, resource  ->  a page, by its media type: HTML, XML, plain text; other types are `unsupported-type`
    conversion (WET)    ->  a plain text
    revisit             ->  `revisit`: the page is in another record

Requests, metadata and what describes the archive are no documents and go by unmentioned. The origin of a record is
`crawl.warc.gz:12`, its number from 1 on; the offset counts bytes of the unpacked archive. Where an archive breaks off,
or makes no sense, that is reported with the offset; the reading of a WARC resumes at the next record that can be found.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from groundup.corpus.sources.kinds import sniff
from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Unread
from groundup.corpus.sources.streams import ByteStream
from groundup.corpus.sources.unreadable import UnreadableError

_HEAD_BYTES = 64 << 10  # of HTTP, besides the page
_FORMATS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/xml": "xml",
    "application/xml": "xml",
}
_SAYS_NOTHING = ("", "application/octet-stream", "unk", "no-type", "unknown/unknown")
_ARC_HEAD = re.compile(
    rb"(?P<url>\S.*?) (?P<ip>[\d.]+|[\da-fA-F:]+) (?P<date>\d{8,17}) (?P<type>\S+)(?: .*)? (?P<size>\d+)"
)
_HTTP_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BARE_CR = re.compile(rb"HTTP/[\d.]{1,9} [^\r\n]{0,999}\r(?!\n)")
_ANY_HEAD_END = re.compile(rb"\r\r|\n\r?\n")
_HTTP_LENGTH = re.compile(rb"(?i)\ncontent-length:[ \t]{0,9}(\d{1,18})(?=\r|\n|\Z)")
_BARE_LF = re.compile(rb"WARC/[\d.]+\n")
_ARC_LINE = 16 << 10
_LOOK_BACK = 256 << 10  # FastWARC reads ahead by less


def read_archive(stream: ByteStream, relative: str, options: ReadOptions) -> Iterator[Found]:
    """The documents of a WARC, WET or ARC file."""
    buffered = _Buffered(stream)
    try:
        start = buffered.peek(11)
    except UnreadableError as error:
        yield Failed(Location(relative), error)
        return
    if start.startswith(b"filedesc://"):
        yield from _read_arc(buffered, relative, options)
    elif start:
        yield from _read_warc(buffered, relative, options)


class _Buffered:
    """A stream with what FastWARC and the reader of ARC ask of a file."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._held, self.at = stream, b"", 0
        self._given = b""  # the last bytes that were read

    def peek(self, size: int) -> bytes:
        while len(self._held) < size and (chunk := self._stream.read()):
            self._held += chunk
        return self._held[:size]

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; fewer only near the end."""
        if not self._held:
            self._held = self._stream.read()
        found, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        self.at += len(found)
        self._given = (self._given + found)[-_LOOK_BACK:] if len(found) < _LOOK_BACK else found
        return found

    def resume_at(self, mark: bytes, least: int) -> bool:
        """Move to the first line from the byte `least` on that begins with `mark`; False where there is none.

        Of what was read before, only the last bytes are looked through again.
        """
        here, base = self._given + self._held, self.at - len(self._given)
        mark = b"\n" + mark
        while True:
            found = here.find(mark, max(0, least - 1 - base))
            if found >= 0:
                self._held, self._given, self.at = here[found + 1 :], b"", base + found + 1
                return True
            more = self._stream.read()
            if not more:
                return False
            base += max(0, len(here) - len(mark))
            here = here[-len(mark) :] + more

    def exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size and (part := self.read(size - len(parts))):
            parts += part
        return bytes(parts)

    def skip(self, size: int) -> int:
        """How many of `size` bytes there were."""
        left = size
        while left and (part := self.read(min(left, 1 << 16))):
            left -= len(part)
        return size - left

    def line(self) -> bytes:
        """The next line, at most `_ARC_LINE` bytes of it, with its newline."""
        held = self.peek(_ARC_LINE)
        end = held.find(b"\n") + 1
        return self.exactly(end or len(held))

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        """What FastWARC asks of files in general; it does not do so to read."""
        raise io.UnsupportedOperation("an archive is read from its beginning to its end")

    def close(self) -> None:
        """The stream belongs to who opened it."""


def _read_warc(source: _Buffered, relative: str, options: ReadOptions) -> Iterator[Found]:
    from fastwarc.warc import ArchiveIterator

    # Only where it is needed: this mode skips what makes no sense without a word.
    bare_lf = _BARE_LF.match(source.peek(16)) is not None
    number, offset = 0, 0  # of the record that was read last, or of where reading began again
    try:
        while True:
            try:
                for record in ArchiveIterator(source, parse_http=False, quirks_mode=bare_lf):
                    number, offset = number + 1, record.stream_pos
                    url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")
                    yield from _warc_record(record, Location(f"{relative}:{number}", offset, url), options)
                return
            except OSError as error:
                number += 1
                detail = f"{error}, somewhere after byte {offset:,}"
                yield Failed(Location(f"{relative}:{number}", offset), UnreadableError("corrupt", detail))
            if not source.resume_at(b"WARC/1.", offset + 1):
                return
            offset = source.at
    except UnreadableError as error:
        yield Failed(Location(f"{relative}:{number + 1}", source.at), error)


def _warc_record(record: Any, location: Location, options: ReadOptions) -> Iterator[Found]:
    """What one record gives: nothing, if it is none of a document."""
    from fastwarc.warc import WarcRecordType

    kind = record.record_type
    if kind == WarcRecordType.resource and location.url.startswith("metadata:"):
        yield Failed(location, UnreadableError("crawl-log", "what the crawler wrote about its work"))
    elif kind in (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion):
        yield _warc_document(record, location, options)
    elif kind == WarcRecordType.revisit:
        yield Failed(location, UnreadableError("revisit", "the page is in another record"))
    elif kind == WarcRecordType.continuation:
        yield Failed(location, UnreadableError("unsupported-type", "a record that continues another"))
    elif kind == WarcRecordType.unknown:
        cut = record.headers.get("Content-Length") is None
        yield Failed(location, UnreadableError("truncated" if cut else "unsupported-type", "of no known type"))


def _warc_document(record: Any, location: Location, options: ReadOptions) -> Unread | Failed:
    """The document of a record; `missing` where the archive declares that it is not all of it."""
    found = _warc_payload(record, location, options)
    for name in ("WARC-Truncated", "WARC-Segment-Number"):
        if not isinstance(found, Failed) and (declared := record.headers.get(name)):
            return replace(found, missing=f"{name}: {declared}")
    return found


def _warc_payload(record: Any, location: Location, options: ReadOptions) -> Unread | Failed:
    from fastwarc.warc import WarcRecordType

    declared, most = record.content_length, options.max_bytes + _HEAD_BYTES
    if record.headers.get("Content-Length") is None:
        return Failed(location, UnreadableError("corrupt", "a record without a length"))
    if declared > most:
        return Failed(location, UnreadableError("too-large", "", float(declared), float(most)))
    body = record.reader.read(most)
    if len(body) < declared:
        detail = "the archive ends within a record"
        return Failed(location, UnreadableError("truncated", detail, float(len(body)), float(declared)), body)
    if record.record_type == WarcRecordType.conversion:
        return Unread(location, body, "text")
    if record.is_http:
        return _http(body, location, options)
    media = record.headers.get("Content-Type") or record.headers.get("WARC-Identified-Payload-Type") or ""
    return _payload(body, media, None, location, options)


def _http(message: bytes, location: Location, options: ReadOptions) -> Unread | Failed:
    """The document in a server's answer."""
    from fastwarc.warc import WarcRecord, WarcRecordType

    error: OSError | None = None
    message = _uniform(message)
    missing = _missing(message)
    # Some archives keep the header `Transfer-Encoding: chunked` of a body that is not any more.
    for decoding in ("all", "content", "none"):
        record = WarcRecord()
        record.record_type = WarcRecordType.response
        record.set_bytes_content(message)
        record.is_http = True
        try:
            record.parse_http(auto_decode=decoding, quirks_mode=True)
            body = record.reader.read(options.max_bytes + 1)
        except OSError as failure:
            error = error or failure
            continue
        if decoding == "none" and record.http_headers.get("Content-Encoding"):
            break  # packed bytes
        status = record.http_headers.status_code
        if status is None:
            return Failed(location, UnreadableError("corrupt", "no HTTP status"), message)
        if status != 200:
            return Failed(
                location, UnreadableError("http-status", record.http_headers.status_line or "", float(status), 200)
            )
        if len(body) > options.max_bytes:
            return Failed(location, UnreadableError("too-large", "", float(len(body)), float(options.max_bytes)))
        found = _payload(body, record.http_content_type or "", record.http_charset, location, options)
        return found if isinstance(found, Failed) else replace(found, missing=missing)
    return Failed(location, UnreadableError("corrupt", str(error)), message)


def _uniform(message: bytes) -> bytes:
    """The message with CR LF in its head, where some lines of that end in a bare CR: FastWARC reads past these."""
    end = _ANY_HEAD_END.search(message, 0, _HEAD_BYTES) if _BARE_CR.match(message) else None
    if end is None:
        return message
    lines = message[: end.start()].rstrip(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"\r\n".join([*lines, b"", message[end.end() :]])


def _missing(message: bytes) -> str:
    """The header that declares more bytes than the message has."""
    end = _HTTP_HEAD_END.search(message, 0, _HEAD_BYTES)
    declared = _HTTP_LENGTH.search(message, 0, end.start()) if end else None
    if end is None or declared is None or int(declared[1]) <= len(message) - end.end():
        return ""
    return f"Content-Length: {declared[1].decode()}, but {len(message) - end.end():,} bytes are there"


def _payload(body: bytes, media: str, charset: str | None, location: Location, options: ReadOptions) -> Unread | Failed:
    from resiliparse.parse.encoding import detect_mime

    media = media.partition(";")[0].strip().lower()
    if media in _SAYS_NOTHING:
        format = sniff(body[:512])
        format = format if format in ("html", "xml") else _FORMATS.get(detect_mime(body), "")
    else:
        format = _FORMATS.get(media, "")
    if not format:
        return Failed(location, UnreadableError("unsupported-type", media or "of no known type"))
    return Unread(location, body, format, charset=charset)


def _read_arc(source: _Buffered, relative: str, options: ReadOptions) -> Iterator[Found]:
    """Records of `URL IP date type [...] length`, a line, and so many bytes (Internet Archive, ARC 1 and 2)."""
    number = 0
    try:
        while True:
            offset, line = source.at, source.line()
            if not line:
                return
            if not line.strip():
                continue
            number += 1
            head = _ARC_HEAD.fullmatch(line.strip())
            location = Location(f"{relative}:{number}", offset, head["url"].decode("utf-8", "replace") if head else "")
            if head is None:
                yield Failed(location, UnreadableError("corrupt", "no header of an ARC record"), line)
                return
            size, most = int(head["size"]), options.max_bytes + _HEAD_BYTES
            wanted = size <= most and not head["url"].startswith(b"filedesc://")
            body = source.exactly(size) if wanted else b""
            there = len(body) if wanted else source.skip(size)
            if there < size:
                detail = "the archive ends within a record"
                yield Failed(location, UnreadableError("truncated", detail, float(there), float(size)), body)
                return
            if size > most:
                yield Failed(location, UnreadableError("too-large", "", float(size), float(most)))
            elif wanted:
                web = location.url.startswith(("http://", "https://"))
                media = head["type"].decode("ascii", "replace")
                yield _http(body, location, options) if web else _payload(body, media, None, location, options)
    except UnreadableError as error:
        yield Failed(Location(f"{relative}:{number + 1}", source.at), error)
