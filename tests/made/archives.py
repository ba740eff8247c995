"""Web archives, whole and faulty: WARC, WET and ARC records as crawlers write them.

`FAULTY` holds small archives, each with a fault that crawlers really produce, and what must come of each record:
`kept` for a document, else the rule under which it is listed.
"""

import gzip

ADDRESS = "http://example.com/bread"
WORDS = "Bread is made of flour and water, and of salt, and it takes its time to rise before it is baked. "
PAGE = (
    f"<html><head><title>A page</title></head><body><article><h1>Bread</h1><p>{WORDS * 4}</p></article></body></html>"
).encode()


def record(body: bytes, kind: str = "response", head: str = "", url: str = ADDRESS, length: int = -1) -> bytes:
    """A WARC record; `length` is what its header claims, where that differs from the truth."""
    media = "application/http; msgtype=response" if kind in ("response", "revisit") else "text/plain"
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        f"Content-Length: {len(body) if length < 0 else length}",
        f"Content-Type: {media}",
        *head.splitlines(),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body + b"\r\n\r\n"


def http(body: bytes, media: str = "text/html; charset=utf-8", status: str = "200 OK", head: str = "") -> bytes:
    """An HTTP answer; `head` holds further lines, each with its line break."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\n{head}\r\n".encode() + body


def chunked(body: bytes, size: int = 100) -> bytes:
    """`body` in the chunked transfer coding."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def arc(body: bytes, url: str = ADDRESS, length: int = -1) -> bytes:
    """An ARC file with one record."""
    version = b"1 0 A crawler\nURL IP-address Archive-date Content-type Archive-length\n\n"
    head = f"filedesc://made.arc 127.0.0.1 20240216050221 text/plain {len(version)}\n".encode() + version
    size = len(body) if length < 0 else length
    return head + f"{url} 127.0.0.1 20240216050221 text/html {size}\n".encode() + body + b"\n"


ANSWER = http(PAGE)
_CHUNKED_SAID = "Transfer-Encoding: chunked\r\n"
_WGET = record(ANSWER, url=f"<{ADDRESS}>")
FAULTY: dict[str, tuple[bytes, list[str]]] = {
    "whole.warc": (record(ANSWER) + record(b"", "revisit"), ["kept", "revisit"]),
    "whole.warc.gz": (gzip.compress(record(ANSWER)) + gzip.compress(record(b"", "revisit")), ["kept", "revisit"]),
    "whole.arc": (arc(ANSWER), ["kept"]),
    "whole.arc.gz": (gzip.compress(arc(ANSWER)), ["kept"]),
    "one-gzip-member.warc.gz": (gzip.compress(record(ANSWER) + record(b"", "revisit")), ["kept", "revisit"]),
    "chunked.warc": (record(http(chunked(PAGE), head=_CHUNKED_SAID)), ["kept"]),
    "chunked-it-says.warc": (record(http(PAGE, head=_CHUNKED_SAID)), ["kept"]),
    "gzip-it-says.warc": (record(http(PAGE, head="Content-Encoding: gzip\r\n")), ["corrupt"]),
    "requests-only.warc": (record(b"GET / HTTP/1.1\r\n\r\n", "request"), ["no-document"]),
    "address-in-brackets.warc": (_WGET, ["kept"]),
    "address-with-spaces.warc": (record(ANSWER, url=f"{ADDRESS}?title=Of Bread"), ["kept"]),
    "address-with-spaces.arc": (arc(ANSWER, url=f"{ADDRESS}?title=Of Bread"), ["kept"]),
    "plain-resource.warc": (record(b"Bread, in plain words.", "resource"), ["kept"]),
    "answers-of-a-program.warc": (record(http(b"{}", media="application/json")), ["unsupported-type"]),
    "cut-in-the-second.warc": ((record(ANSWER) * 2)[:-300], ["kept", "truncated"]),
    "length-too-small.warc": (record(ANSWER, length=200) + record(ANSWER), ["kept", "corrupt", "kept"]),
    "length-is-no-number.arc": (arc(ANSWER).replace(b"text/html %d" % len(ANSWER), b"text/html abc"), ["corrupt"]),
}
