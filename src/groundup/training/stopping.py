"""Ctrl-C and SIGTERM while a loop trains: the step is finished and saved, then the process leaves."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether someone asked the loop to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stop_after_the_step() -> Iterator[Stop]:
    """Within it SIGINT and SIGTERM only set `asked`; a second one interrupts at once, as they do elsewhere.

    Signals are left as they are outside the main thread, where Python does not let them be handled.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            signal.default_int_handler(number, frame)
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
