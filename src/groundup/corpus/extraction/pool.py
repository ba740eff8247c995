"""Pages to text by a worker that can be lost: the parent's side of `worker.py`.

    pages -> batch -> worker -> answers, in order
                        '- dies, or says nothing for too long: the page that it was at is dropped with a rule, another
                           worker takes the rest

One worker per process that reads pages. It is started with the first page and ends with this process.
"""

import atexit
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from groundup.corpus.extraction.configuration import Extraction
from groundup.corpus.extraction.process import LimitedProcess, LostError, LostRules
from groundup.corpus.extraction.worker import ANSWER, BATCH, REQUEST, Method, Status
from groundup.corpus.sources.unreadable import UnreadableError

BATCH_PAGES = 64
BATCH_BYTES = 1 << 20
_PAGES_PER_WORKER = 5000  # the libraries keep a little of every page
_MODULE = "groundup.corpus.extraction.worker"
_LOST = LostRules(timeout="extraction-timeout", memory="extraction-memory", crash="extraction-crash")


@dataclass(frozen=True)
class Page:
    """A page to be looked into."""

    method: Method
    text: str


@dataclass(frozen=True)
class Extracted:
    """The title and main text of a page."""

    title: str
    text: str
    fell_back: bool = False
    """Whether precision was given up for it, since it would have lost most of the page."""


class Extractor:
    """Extracts text with one worker, which is replaced when it is lost."""

    def __init__(self, config: Extraction | None = None) -> None:
        self._config = config or Extraction()
        self._worker: _WorkerProcess | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> "Extractor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; the next page starts another."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.parent == os.getpid():  # and not that of a process which was forked
            worker.kill()

    def extract(self, pages: Sequence[Page]) -> list[Extracted | UnreadableError]:
        """What each page says, or why it can't be had.

        The errors: `page-too-large`, `extraction-timeout`, `extraction-memory`, `extraction-crash`,
        `extraction-failed`, and `no-text` where nothing is left of the page.
        """
        most = int(self._config.page_mb * 1e6)
        found: list[Extracted | UnreadableError | None] = []
        wanted: list[tuple[int, Method, bytes]] = []
        for at, page in enumerate(pages):
            data = page.text.encode("utf-8", "replace")
            if len(data) > most:
                found.append(UnreadableError("page-too-large", "", float(len(data)), float(most)))
                continue
            found.append(None)
            wanted.append((at, page.method, data))
        while wanted:
            batch = _batch(wanted)
            with self._one_at_a_time:
                answers = self._ask([(method, data) for _, method, data in batch])
            for (at, _, _), one in zip(batch, answers, strict=False):
                found[at] = one
            wanted = wanted[len(answers) :]
        return [one for one in found if one is not None]

    def _ask(self, batch: list[tuple[Method, bytes]]) -> list[Extracted | UnreadableError]:
        """Answers for the first pages of the batch: all of them unless the worker is lost, one at least."""
        answers: list[Extracted | UnreadableError] = []
        worker = self._ready(batch[0][0])
        used = worker.pages
        try:
            worker.ask(batch)
            for _ in batch:
                status, title, text = worker.receive()
                answers.append(_judged(status, title, text))
        except LostError as lost:
            self.close()
            # Only what happens in a fresh worker is held against a page: before it may be others' remains.
            if used + len(answers) and lost.rule != "extraction-timeout":
                if not answers:
                    return self._ask(batch[:1])
                return answers
            threshold = self._config.seconds if lost.rule == "extraction-timeout" else None
            answers.append(UnreadableError(lost.rule, lost.detail, threshold=threshold))
        return answers

    def _ready(self, method: Method) -> "_WorkerProcess":
        if self._worker is not None and (self._worker.pages >= _PAGES_PER_WORKER or self._worker.process.poll()):
            self.close()
        if self._worker is None:
            self._worker = _WorkerProcess(self._config, method)
        return self._worker


def extractor(config: Extraction) -> Extractor:
    """This process's extractor for `config`; its threads share it."""
    return _extractor(config, os.getpid())


@lru_cache(maxsize=4)
def _extractor(config: Extraction, process: int) -> Extractor:
    made = Extractor(config)
    atexit.register(made.close)
    return made


def _batch(pages: list[tuple[int, Method, bytes]]) -> list[tuple[int, Method, bytes]]:
    """As many of the first pages as make a batch; one at least."""
    size = 0
    for count, (_, _, data) in enumerate(pages[:BATCH_PAGES]):
        size += len(data)
        if size > BATCH_BYTES and count:
            return pages[:count]
    return pages[:BATCH_PAGES]


def _judged(status: Status, title: str, text: str) -> Extracted | UnreadableError:
    if status is Status.FAILED:
        return UnreadableError("extraction-failed", text)
    if not text.strip():
        return UnreadableError("no-text", "no main text was found in the page")
    return Extracted(title, text, status is Status.FALLBACK)


class _WorkerProcess(LimitedProcess):
    """The process that extracts text, and its questions and answers."""

    def __init__(self, config: Extraction, method: Method) -> None:
        super().__init__(_MODULE, _LOST, config.seconds, config.memory_mb, str(int(method)))
        self.pages, self._seconds_a_page = 0, config.seconds

    def ask(self, batch: list[tuple[Method, bytes]]) -> None:
        """Hand over a batch.

        Raises:
            LostError: the worker does not take it.
        """
        parts = [BATCH.pack(len(batch))]
        for method, data in batch:
            parts += [REQUEST.pack(method, len(data)), data]
        self.send(b"".join(parts))

    def receive(self) -> tuple[Status, str, str]:
        """The next answer.

        Raises:
            LostError: the worker died, or took too long.
        """
        status, heads, body = ANSWER.unpack(self.take(ANSWER.size, self._seconds_a_page))
        rest = self.take(heads + body, self._seconds_a_page)
        self.pages += 1
        return Status(status), rest[:heads].decode(), rest[heads:].decode()
