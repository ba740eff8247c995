"""Files on web servers: their sizes, and ranges of their bytes, by the standard library alone.

A transfer that breaks off resumes where it was; what a server can't answer for the moment is asked again, up to `TRIES`
times, after waits that double. Credentials go to the host that they are for, and not where it redirects to.
"""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeVar

from groundup.errors import GroundupError

TRIES = 5
TIMEOUT = 30.0  # seconds without a byte
WAIT = 1.0  # seconds before the second try
_MAX_WAIT = 60.0
_CHUNK = 1 << 20
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_PASSING = (OSError, http.client.HTTPException)  # timeouts and broken connections among them
Answer = TypeVar("Answer")


class WebFileError(GroundupError):
    """A file that can't be read; `status` is the server's, 0 where none came."""

    def __init__(self, what: str, where: str, do: str, status: int = 0) -> None:
        super().__init__(what, where=where, do=do)
        self.status = status


class _NoCredentialsElsewhere(urllib.request.HTTPRedirectHandler):
    """Follows redirects, to another host without the credentials of the first."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            new.remove_header("Authorization")
        return new


_OPENER = urllib.request.build_opener(_NoCredentialsElsewhere)


def size_of(url: str, name: str, headers: Mapping[str, str] | None = None) -> int:
    """Bytes of a file; -1 where the server doesn't say.

    Args:
        url: its address.
        name: what an error calls it.
        headers: that are sent, such as credentials.

    Raises:
        WebFileError: it can't be reached, or isn't there.
    """
    try:
        length = asked(url, name, headers, "HEAD", lambda answer: answer.headers["Content-Length"])
    except WebFileError as error:
        if error.status not in (403, 405, 501):
            raise
        length = None
    if length is not None:
        return int(length)
    part = {**(headers or {}), "Range": "bytes=0-0"}
    total = asked(url, name, part, "GET", lambda answer: (answer.headers["Content-Range"] or "").rpartition("/")[2])
    return int(total) if total.isdigit() else -1


def asked(url: str, name: str, headers: Mapping[str, str] | None, method: str, use: Callable[[Any], Answer]) -> Answer:
    """What `use` makes of the answer to one request, which is sent again while that can help.

    Raises:
        WebFileError: the server refuses, or does not answer in `TRIES` tries.
    """
    wait, reason = WAIT, "no answer"
    for attempt in range(TRIES):
        if attempt:
            time.sleep(wait)
            wait = min(2 * wait, _MAX_WAIT)
        try:
            request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
            with _OPENER.open(request, timeout=TIMEOUT) as answer:
                return use(answer)
        except urllib.error.HTTPError as error:
            if error.code not in _LATER:
                raise _refused(name, error.code) from error
            reason = f"HTTP {error.code}"
            after = error.headers.get("Retry-After", "")
            wait = min(float(after), _MAX_WAIT) if after.isdigit() else wait
        except _PASSING as error:
            reason = _said(error)
    raise WebFileError(
        f"can't be read ({reason}, {TRIES} times)",
        where=name,
        do="check the address and this machine's network, and run again: it resumes",
    )


def fetch(url: str, name: str, file: IO[bytes], start: int, end: int, headers: Mapping[str, str] | None = None) -> None:
    """Write the bytes of a file from `start` to `end` (-1: all of it) to the same positions of `file`.

    Raises:
        WebFileError: they can't be read, also after `TRIES` tries that bring nothing.
    """
    at = start
    while end < 0 or at < end:
        before = at
        wanted = {**(headers or {})}
        if at or end >= 0:
            wanted["Range"] = f"bytes={at}-{end - 1 if end >= 0 else ''}"

        def copied(answer: Any, at: int = at) -> tuple[int, bool]:
            """`(where the copy ends, whether that is the end)`"""
            is_part = answer.status == 206
            position = at if is_part else 0
            total = answer.headers["Content-Length"]
            whole = position + int(total) if total is not None else -1
            file.seek(position)
            try:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    position += len(chunk)
            except _PASSING:
                if position <= at:
                    raise
                return position, False  # what came stays; the rest is asked for
            return position, position == whole or whole < 0

        at, is_all = asked(url, name, wanted, "GET", copied)
        if is_all and (end < 0 or at >= end):
            return
        if at <= before:
            raise WebFileError(
                f"can't be read ({at:,} bytes came, and no more)", where=name, do="look whether the file is whole there"
            )


def _refused(name: str, status: int) -> WebFileError:
    if status in (401, 403):
        what, do = (
            "asks for credentials",
            "for hf:// set HF_TOKEN to a token that may read it, and accept its terms there",
        )
    elif status in (404, 410):
        what, do = "nothing is there", "check the address"
    elif status == 416:
        what, do = "is shorter than it was listed", "run again: it is listed again"
    else:
        what, do = "the server refuses", "check the address"
    return WebFileError(f"can't be read ({what}, HTTP {status})", name, f"{do}; then run again: it resumes", status)


def _said(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    error = reason if isinstance(reason, BaseException) else error
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} seconds"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
