"""The process that looks into pages, so that a page which never ends, or takes all memory, ends only this.

    parent --> method, page; method, page; ...   a batch, as a whole
           <-- status, title, text               one answer for each page, as soon as it is there

It says `READY`, and then takes pages on its standard input until that closes. A page that needs too much processor
time ends the process with SIGPROF, one that needs too much memory with `OUT_OF_MEMORY`; the parent starts another.
Only numbers and text go over the pipe: nothing else that a page made this process do can reach the parent.
"""

import os
import struct
import sys
from enum import IntEnum
from typing import IO

from groundup.corpus.extraction.configuration import Mode
from groundup.corpus.extraction.limits import OUT_OF_MEMORY, READY, limit_memory, limit_time

REQUEST = struct.Struct("!BI")  # method, bytes of the page
ANSWER = struct.Struct("!BII")  # status, bytes of the title, bytes of the text
BATCH = struct.Struct("!I")  # pages


class Method(IntEnum):
    """How a page becomes text."""

    PRECISION = 0  # the modes of trafilatura
    BALANCED = 1
    RECALL = 2
    RESILIPARSE = 3
    XML = 4


MODES: dict[Method, Mode] = {Method.PRECISION: "precision", Method.BALANCED: "balanced", Method.RECALL: "recall"}


class Status(IntEnum):
    """How it went."""

    DONE = 0
    FAILED = 1  # the text is the library's message
    FALLBACK = 2  # done, in balanced mode, since precision would have lost most of the page


def _extract(method: Method, page: str) -> tuple[Status, str, str]:
    if method is Method.XML:
        from groundup.corpus.extraction.xml import read_xml

        return Status.DONE, *read_xml(page)
    from groundup.corpus.extraction.html import by_resiliparse, by_trafilatura

    if method is Method.RESILIPARSE:
        return Status.DONE, *by_resiliparse(page)
    title, text, fell_back = by_trafilatura(page, MODES[method])
    return Status.FALLBACK if fell_back else Status.DONE, title, text


def answer(method: Method, page: str) -> tuple[Status, str, str]:
    """`(status, title, text)` of one page.

    Raises:
        MemoryError: it needs more than there is.
    """
    try:
        return _extract(method, page)
    except MemoryError:
        raise
    except RecursionError:
        return Status.FAILED, "", "elements are nested too deeply"
    except Exception as error:  # the libraries raise what they like; the page is dropped, with these words
        return Status.FAILED, "", f"{type(error).__name__}: {error}"


def serve(source: IO[bytes], sink: IO[bytes], seconds: float) -> None:
    """Answer batches until there are no more."""
    while header := source.read(BATCH.size):
        pages: list[tuple[Method, str]] = []
        for _ in range(BATCH.unpack(header)[0]):
            method, size = REQUEST.unpack(source.read(REQUEST.size))
            pages.append((Method(method), source.read(size).decode()))
        for method, page in pages:
            limit_time(seconds)
            status, title, text = answer(method, page)
            limit_time(0)
            heads, body = title.encode("utf-8", "replace"), text.encode("utf-8", "replace")
            sink.write(ANSWER.pack(status, len(heads), len(body)) + heads + body)
            sink.flush()


def main() -> None:
    """`python -m groundup.corpus.extraction.worker SECONDS MEGABYTES METHOD`; METHOD is made ready at once."""
    import logging

    seconds, megabytes, first = float(sys.argv[1]), int(sys.argv[2]), Method(int(sys.argv[3]))
    logging.disable()
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    answer(first, "<html><body><p>.</p></body></html>")
    limit_memory(megabytes)
    sink.write(READY)
    sink.flush()
    try:
        serve(sys.stdin.buffer, sink, seconds)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()
