"""Ctrl-C and SIGTERM while a run works: one line, and the exit status that shells expect."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Stopped(BaseException):
    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def stopping_in_one_line(said: str = "stopped; the same command resumes where it was") -> Iterator[None]:
    """Within it Ctrl-C ends the program with status 130 and SIGTERM with 143."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _Stopped as stopped:
        new_line = "\n" if sys.stderr.isatty() else ""  # the terminal shows ^C on the line of the bar
        print(f"{new_line}groundup: {said}", file=sys.stderr)
        sys.exit(128 + stopped.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
