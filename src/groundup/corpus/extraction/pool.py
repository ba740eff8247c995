"""Pages to text by a worker that can be lost: the parent's side of `worker.py`.

    pages -> batch -> worker -> answers, in order
                        '- dies, or says nothing for too long: the page that it was at is dropped with a rule, another
                           worker takes the rest

One worker per process that reads pages. It is started with the first page and ends with this process.
"""

import atexit
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from groundup.corpus.extraction.configuration import Extraction
from groundup.corpus.extraction.worker import ANSWER, BATCH, OUT_OF_MEMORY, READY, REQUEST, Method, Status
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

BATCH_PAGES = 64
BATCH_BYTES = 1 << 20
_PAGES_PER_WORKER = 5000  # the libraries keep a little of every page
_START_SECONDS = 120.0
_PATIENCE = 10.0  # seconds on the wall per second of processor time: a busy machine is no reason to drop a page
_CHUNK = 1 << 16


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


class _LostError(Exception):
    """The worker is gone; `rule` says why."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


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
            worker.send(batch)
            for _ in batch:
                status, title, text = worker.receive()
                answers.append(_judged(status, title, text))
        except _LostError as lost:
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


class _WorkerProcess:
    """One process and the two pipes to it."""

    def __init__(self, config: Extraction, method: Method) -> None:
        home = str(Path(__file__).parents[3])
        command = [sys.executable, "-m", "groundup.corpus.extraction.worker", str(config.seconds)]
        self.pages, self.parent = 0, os.getpid()
        self._config = config
        self._started = False
        self.process = subprocess.Popen(
            [*command, str(config.memory_mb), str(int(method))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Sets in the libraries must come in the same order in every run.
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join([home, *_path()])},
            # Ctrl-C is for the parent, which ends this when it has put its work in order.
            start_new_session=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._out, self._in = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._held = bytearray()
        self._can_write, self._can_read = select.poll(), select.poll()
        self._can_write.register(self._out, select.POLLOUT)
        self._can_read.register(self._in, select.POLLIN)

    def send(self, batch: list[tuple[Method, bytes]]) -> None:
        """Hand over a batch.

        Raises:
            _LostError: the worker does not take it.
        """
        parts = [BATCH.pack(len(batch))]
        for method, data in batch:
            parts += [REQUEST.pack(method, len(data)), data]
        if not self._started:
            self._take(len(READY), _START_SECONDS)
            self._started = True
        rest = memoryview(b"".join(parts))
        while rest:
            if not self._can_write.poll(_START_SECONDS * 1000):
                raise self._lost("extraction-crash", "the worker takes no page")
            try:
                rest = rest[os.write(self._out, rest[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._died() from None

    def receive(self) -> tuple[Status, str, str]:
        """The next answer.

        Raises:
            _LostError: the worker died, or took too long.
        """
        seconds = self._config.seconds * _PATIENCE
        status, heads, body = ANSWER.unpack(self._take(ANSWER.size, seconds))
        rest = self._take(heads + body, seconds)
        self.pages += 1
        return Status(status), rest[:heads].decode(), rest[heads:].decode()

    def _take(self, size: int, seconds: float) -> bytes:
        until = time.monotonic() + seconds
        while len(self._held) < size:
            if not self._can_read.poll(max(0.0, until - time.monotonic()) * 1000):
                raise self._lost("extraction-timeout", "no answer came")
            chunk = os.read(self._in, max(_CHUNK, size - len(self._held)))
            if not chunk:
                raise self._died()
            self._held += chunk
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    def _died(self) -> Exception:
        code = self.process.wait()
        if not self._started:
            return GroundupError(
                f"the process that extracts text does not start (exit status {code})",
                where="extraction",
                do="try `python -c 'import trafilatura, resiliparse'` and repair the installation",
            )
        if code == -signal.SIGPROF:
            return _LostError("extraction-timeout", f"needs over {self._config.seconds:g} seconds of processor time")
        if code == OUT_OF_MEMORY:
            return _LostError("extraction-memory", f"needs over {self._config.memory_mb} MB")
        return _LostError("extraction-crash", f"ended the worker with status {code}")

    def _lost(self, rule: str, detail: str) -> _LostError:
        self.kill()
        return _LostError(rule, detail)

    def kill(self) -> None:
        self.process.kill()
        with self.process:  # closes the pipes and waits
            pass


def _path() -> list[str]:
    given = os.environ.get("PYTHONPATH", "")
    return given.split(os.pathsep) if given else []
