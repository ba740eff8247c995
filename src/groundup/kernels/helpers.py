"""Threads that work together with the one that calls them, each on a processor of its own as far as there are any.

Linux likes to wake a thread on the processor of the one that woke it. Where both then wait for each other in loops
(`meeting.py`), they take turns there while another processor is idle, until the scheduler looks again some
milliseconds later: a step of half a millisecond takes five. So the helpers are kept from the caller's processor.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

_libc = ctypes.CDLL(None) if hasattr(os, "sched_setaffinity") else None


class Helpers:
    """So many threads, made when they are first needed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._ids: list[int] = []  # the system's
        self._threads = ThreadPoolExecutor(count, initializer=lambda: self._ids.append(threading.get_native_id()))
        self._kept: tuple[int, int] | None = None  # (processor, number of helpers): who is kept from where

    def submit(self, work: Callable[[int], None], numbers: range) -> list[Future[None]]:
        """Have `work(number)` done for each number."""
        self._keep_away()
        return [self._threads.submit(work, number) for number in numbers]

    def _keep_away(self) -> None:
        if _libc is None or (now := (_libc.sched_getcpu(), len(self._ids))) == self._kept:
            return
        with suppress(OSError):  # a sandbox that forbids it: they work nevertheless
            if others := os.sched_getaffinity(0) - {now[0]}:
                for identity in self._ids[: now[1]]:
                    os.sched_setaffinity(identity, others)
        self._kept = now
