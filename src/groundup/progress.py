"""Progress of long work: a bar with rate and time left on a terminal, a line now and then elsewhere.

Stages get a `Progress` and never print. Opening a task costs next to nothing, and nothing is drawn for work that
takes under two seconds.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from groundup.terminal import printable

SHOW_AFTER = 2.0  # seconds before a task is worth a bar
LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Bar(Protocol):
    """One piece of work under way."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more units as done; `note` replaces the few words shown next to the rate."""


class Progress(Protocol):
    """Where a stage announces its work."""

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        """A context manager that yields a `Bar` of `total` units, of which `done` were done in an earlier run."""

    def say(self, line: str) -> None:
        """Print one line, above any bar."""


class Silent:
    """Progress for notebooks, tests and library use: says nothing."""

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        return _silent()

    def say(self, line: str) -> None:
        return None


class _SilentTask:
    def advance(self, amount: float = 1, note: str = "") -> None:
        return None


@contextmanager
def _silent() -> Iterator[Bar]:
    yield _SilentTask()


class _Clock:
    """Units done, rate and time left of one task.

    The rate counts only this run's units, not a resumed run's, and not the first of them: it pays for what happens
    once (imports, first allocations) and would make the time left look many times what it is.
    """

    def __init__(self, title: str, total: float | None, unit: str, done: float) -> None:
        self.title, self.total, self.unit, self.done = title, total, unit, done
        self.note = ""
        self.started_at = time.monotonic()
        self._first: tuple[float, float] | None = None  # when the first units were done, and how many

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        if self._first is None:
            self._first = time.monotonic(), self.done

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    @property
    def rate(self) -> float:
        """Units per second; 0 while it can't be said."""
        if self._first is None:
            return 0.0
        began, done = self._first
        return (self.done - done) / max(time.monotonic() - began, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds left, or None while it can't be said."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0.0, self.total - self.done) / self.rate

    def line(self) -> str:
        """`pretrain  42 %  11,800 tokens/s  1:05 left  loss 3.21`"""
        parts = [self.title]
        if self.total:
            parts.append(f"{100 * min(1.0, self.done / self.total):3.0f} %")
        if self.rate > 0:
            parts.append(f"{_short(self.rate)} {self.unit}/s".replace(" /s", "/s"))
        if self.left is not None:
            parts.append(f"{clock(self.left)} left")
        if self.note:
            parts.append(self.note)
        return printable("  ".join(parts))


def clock(seconds: float) -> str:
    """`1:05` for 65 seconds, `1:01:05` with hours."""
    whole = int(seconds + 0.5)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


class Lines:
    """Progress where there is no terminal (a log, CI): one line per task every ten seconds."""

    def __init__(self, every: float = LINE_EVERY) -> None:
        self.every = every

    def say(self, line: str) -> None:
        print(printable(line), flush=True)

    @contextmanager
    def _open(self, clock_: _Clock) -> Iterator[Bar]:
        outer, next_line = self, time.monotonic() + min(self.every, SHOW_AFTER)

        class Counter:
            def advance(self, amount: float = 1, note: str = "") -> None:
                nonlocal next_line
                clock_.advance(amount, note)
                if time.monotonic() >= next_line:
                    next_line = time.monotonic() + outer.every
                    outer.say(f"    {clock_.line()}")

        yield Counter()

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        return self._open(_Clock(title, total, unit, done))


class Bars:
    """Progress on a terminal: a bar, the rate and the time left, drawn by rich."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False)

    def say(self, line: str) -> None:
        self.console.print(printable(line), markup=False, soft_wrap=True)

    @contextmanager
    def _open(self, clock_: _Clock) -> Iterator[Bar]:
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        def draw() -> Table | Text:
            if clock_.seconds < SHOW_AFTER:
                return Text("")
            row = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=clock_.total, completed=clock_.done, width=28, pulse=clock_.total is None)
            row.add_row(Text("   "), bar, Text(clock_.line(), no_wrap=True, overflow="ellipsis"))
            return row

        with Live(get_renderable=draw, console=self.console, refresh_per_second=4, transient=True):
            yield clock_

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        return self._open(_Clock(title, total, unit, done))


def for_terminal() -> Progress:
    """Bars on a terminal, lines elsewhere."""
    return Bars() if sys.stdout.isatty() else Lines()
