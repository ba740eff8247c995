"""Functions that tests run on engines: in a module of their own, so that workers can import them."""

import os
import signal
import time

from groundup.errors import GroundupError


def square(number: int) -> tuple[int, int]:
    """Slow for 0, so that others overtake it."""
    time.sleep(0.5 if number == 0 else 0.01)
    return number * number, os.getpid()


def mistaken(number: int) -> int:
    if number == 2:
        raise GroundupError("the row is bad", where="rows.jsonl:3", do="correct it")
    return number


def broken(number: int) -> int:
    if number == 2:
        raise ValueError("a mistake of ours")
    return number


def out_of_memory(number: int) -> int:
    if number == 2:
        raise MemoryError
    return number


def disk_full(number: int) -> int:
    raise OSError(28, "No space left on device")


def killed(number: int) -> int:
    """As the kernel does when memory runs out; the others take long enough to be at work then."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return number


def crashed(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number
