"""Mails: one in an `.eml` file, many in an `.mbox`. The subject is the title; names and addresses are not read."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

from groundup.corpus.sources.record import Failed, Found, Location, ReadOptions, Record, Unread, method_of
from groundup.corpus.sources.streams import ByteStream, bounded_lines
from groundup.corpus.sources.unreadable import UnreadableError


def read_mbox(stream: ByteStream, relative: str, options: ReadOptions) -> Iterator[Found]:
    """The mails of a mailbox, each after a line that begins with `From `."""
    lines: list[bytes] = []
    size = start = number = 0
    for _, at, line in bounded_lines(stream, options.max_bytes, keep_blank=True):
        if isinstance(line, UnreadableError):
            yield Failed(Location(f"{relative}:{number}", start), line)
            return
        if line.startswith(b"From "):
            if number:
                yield _mail(lines, size, Location(f"{relative}:{number}", start), options)
            number, start, lines, size = number + 1, at, [], 0
        elif number:
            size += len(line) + 1
            if size <= options.max_bytes:
                lines.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
    if number:
        yield _mail(lines, size, Location(f"{relative}:{number}", start), options)


def _mail(lines: list[bytes], size: int, location: Location, options: ReadOptions) -> Unread | Failed:
    if size > options.max_bytes:
        return Failed(location, UnreadableError("too-large", "", float(size), float(options.max_bytes)))
    return Unread(location, b"\n".join(lines), "mail")


def mail(data: bytes, location: Location, options: ReadOptions) -> Record | Failed:
    """One mail: its plain text or, where it has none, its page."""
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    subject = str(message.get("subject", ""))
    part = message.get_body(("plain", "html"))
    if part is None:
        return Failed(location, UnreadableError("no-text", "a mail without text"))
    try:
        text = part.get_content()
    except (LookupError, ValueError) as error:
        return Failed(location, UnreadableError("unknown-encoding", str(error)))
    is_page = part.get_content_type() == "text/html"
    return Record(
        location, str(text), subject, page=method_of("html", options.contents.extraction) if is_page else None
    )
