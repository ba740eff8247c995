"""A process of ours that may be lost: what it does with bytes from outside can end it, and nothing else.

The parent's side. The child limits itself (`limits.py`): it ends with SIGPROF where one document takes too much
processor time, and with `OUT_OF_MEMORY` where it takes too much memory.
"""

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from groundup.corpus.extraction.limits import OUT_OF_MEMORY, READY
from groundup.errors import GroundupError

START_SECONDS = 120.0
_PATIENCE = 10.0  # seconds on the wall per second of processor time: a busy machine is no reason to drop a page
_CHUNK = 1 << 16


@dataclass(frozen=True)
class LostRules:
    """Under which rules a document is dropped that ends the process."""

    timeout: str
    memory: str
    crash: str


class LostError(Exception):
    """The process is gone; `rule` is the reason."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule, self.detail = rule, detail


class LimitedProcess:
    """One process and the two pipes to it."""

    def __init__(
        self,
        module: str,
        rules: LostRules,
        seconds: float,
        memory_mb: int,
        *arguments: str,
        files: tuple[int, ...] = (),
    ) -> None:
        """Start `python -m MODULE SECONDS MEGABYTES ARGUMENTS`.

        Args:
            module: what it runs.
            rules: for documents that end it.
            seconds: of processor time for one document.
            memory_mb: for one document.
            arguments: what else the module is given.
            files: descriptors of open files that it inherits.
        """
        home = str(Path(__file__).parents[3])
        path = [home, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self.parent = os.getpid()
        self._rules, self._seconds, self._memory_mb = rules, seconds, memory_mb
        self._started = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(seconds), str(memory_mb), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Sets in the libraries must come in the same order in every run. Arrow's own pools reserve address space.
            env={
                **os.environ,
                "PYTHONHASHSEED": "0",
                "PYTHONPATH": os.pathsep.join(path),
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "MALLOC_ARENA_MAX": "2",
            },
            # Ctrl-C is for the parent, which ends this when it has put its work in order.
            start_new_session=True,
            pass_fds=files,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._out, self._in = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._held, self._at = bytearray(), 0  # what was read, and how much of it was taken
        self._can_write, self._can_read = select.poll(), select.poll()
        self._can_write.register(self._out, select.POLLOUT)
        self._can_read.register(self._in, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Hand over a request.

        Raises:
            LostError: the process does not take it.
            GroundupError: it does not start.
        """
        if not self._started:
            self.take(len(READY), START_SECONDS / _PATIENCE)
            self._started = True
        rest = memoryview(data)
        while rest:
            if not self._can_write.poll(START_SECONDS * 1000):
                self.lose(self._rules.crash, "the process takes no request")
            try:
                rest = rest[os.write(self._out, rest[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._died()

    def take(self, size: int, seconds: float) -> bytes:
        """The next `size` bytes; `seconds` is the processor time that they may need.

        Raises:
            LostError: the process died, or took too long.
        """
        until = time.monotonic() + seconds * _PATIENCE
        while len(self._held) - self._at < size:
            if not self._can_read.poll(max(0.0, until - time.monotonic()) * 1000):
                self.lose(self._rules.timeout, "no answer came")
            chunk = os.read(self._in, max(_CHUNK, size - len(self._held) + self._at))
            if not chunk:
                self._died()
            del self._held[: self._at]
            self._held += chunk
            self._at = 0
        with memoryview(self._held) as held:
            found = bytes(held[self._at : self._at + size])
        self._at += size
        return found

    def lose(self, rule: str, detail: str) -> NoReturn:
        """End the process, and raise LostError."""
        self.kill()
        raise LostError(rule, detail)

    def kill(self) -> None:
        self.process.kill()
        with self.process:  # closes the pipes and waits
            pass

    def _died(self) -> NoReturn:
        code = self.process.wait()
        if not self._started:
            raise GroundupError(
                f"a process that reads files does not start (exit status {code})",
                where="curate.sources",
                do="try `python -c 'import trafilatura, resiliparse, pyarrow'` and repair the installation",
            )
        if code == -signal.SIGPROF:
            self.lose(self._rules.timeout, f"needs over {self._seconds:g} seconds of processor time")
        if code == OUT_OF_MEMORY:
            self.lose(self._rules.memory, f"needs over {self._memory_mb} MB")
        self.lose(self._rules.crash, f"ended the process with status {code}")
