"""Detect that ranks wait for each other in vain, and report for which one.

A step of training is a chain of collectives: where one rank does not arrive at one, all the others wait without an
error. So each rank watches its own steps. When one takes far longer than those before it, the rank writes the stacks of
all its threads into its log and sends the others the number of collectives it has begun: the rank with the fewest is
the one that they wait for.
"""

import faulthandler
import json
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import groundup
from groundup.progress import Bar, Progress

TIMES = 10  # times the longest step so far: a slower one is a hang, unless it is below the seconds given
FIRST = 3  # times the seconds given, for the first step: it compiles and fills caches
ANSWER_SECONDS = 15.0  # in which the other ranks may report where they are
HOME = str(Path(groundup.__file__).parent.parent)
LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})


class Watchdog:
    """Watches the steps of this rank from a thread; without a step under way it waits.

    Args:
        seconds: the shortest time after which a step counts as a hang.
        bark: called with a sentence on what hangs; must end the process.
    """

    def __init__(self, seconds: float, bark: Callable[[str], None]) -> None:
        self.seconds, self.bark = seconds, bark
        self._changed = threading.Condition()
        self._began: float | None = None  # of the step under way
        self._longest: float | None = None
        self._steps, self._closed = 0, False

    def __enter__(self) -> "Watchdog":
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def begin(self) -> None:
        """A sequence of steps begins."""
        with self._changed:
            self._began, self._longest = time.monotonic(), None
            self._changed.notify()

    def step(self) -> None:
        """A step is done, and the next one begins."""
        now = time.monotonic()
        with self._changed:
            if self._began is not None:
                self._longest = max(self._longest or 0.0, now - self._began)
            self._began, self._steps = now, self._steps + 1

    def rest(self) -> None:
        """No step is under way."""
        with self._changed:
            self._began = None

    @property
    def patience(self) -> float:
        """Seconds that the step under way may take."""
        return FIRST * self.seconds if self._longest is None else max(self.seconds, TIMES * self._longest)

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._began + self.patience - time.monotonic() if self._began is not None else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(None if left is None else min(left, self.seconds))
            if self._closed:
                return
            waited, steps = self.patience, self._steps
        faulthandler.dump_traceback(all_threads=True)
        what = f"step {steps + 1} has taken {waited:,.0f} seconds"
        try:
            what = f"{what}: {accused(reports(ANSWER_SECONDS))}"
        except (RuntimeError, OSError, ValueError) as error:  # the store is gone
            what = f"{what}, and the other ranks can't be asked ({error})"
        print(what, file=sys.stderr, flush=True)
        self.bark(what)


class Watched:
    """A `Progress` whose units are a watchdog's steps."""

    def __init__(self, shown: Progress, watchdog: Watchdog) -> None:
        self.shown, self.watchdog = shown, watchdog

    def say(self, line: str) -> None:
        self.shown.say(line)

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        return self._watched(self.shown.task(title, total, unit, done))

    @contextmanager
    def _watched(self, opened: AbstractContextManager[Bar]) -> Iterator[Bar]:
        watchdog = self.watchdog

        class StepCounter:
            def __init__(self, task: Bar) -> None:
                self.task = task

            def advance(self, amount: float = 1, note: str = "") -> None:
                watchdog.step()
                self.task.advance(amount, note)

        with opened as task:
            watchdog.begin()
            try:
                yield StepCounter(task)
            finally:
                watchdog.rest()


@dataclass(frozen=True)
class RankReport:
    """What a rank is waiting in."""

    at: str  # the line of groundup that its main thread is in
    begun: dict[str, int] = field(default_factory=dict)  # collectives begun, by group
    members: dict[str, list[int]] = field(default_factory=dict)  # ranks, by group


def reports(seconds: float) -> dict[int, RankReport | None]:
    """This rank's report and those that the other ranks give within some seconds; None where one gives none.

    Over a connection of its own: the main thread may be holding the one that the process group has.
    """
    from torch._C._distributed_c10d import TCPStore

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=seconds))
    mine = own_report()
    store.set(f"groundup/hang/{rank}", json.dumps([mine.at, mine.begun, mine.members]))
    found: dict[int, RankReport | None] = {}
    until = time.monotonic() + seconds
    for other in range(size):
        key = f"groundup/hang/{other}"
        while not store.check([key]) and time.monotonic() < until:
            time.sleep(0.1)
        found[other] = RankReport(*json.loads(store.get(key))) if store.check([key]) else None
    return found


def own_report() -> RankReport:
    """Where this process's main thread is, and how many collectives it has begun in each group."""
    from torch.distributed import distributed_c10d

    begun, members = {}, {}
    groups: list[Any] = list(distributed_c10d._world.pg_map)
    for group in groups:
        name = str(distributed_c10d._world.pg_names[group])
        begun[name] = int(group._get_sequence_number_for_group())
        members[name] = [int(rank) for rank in distributed_c10d.get_process_group_ranks(group)]
    return RankReport(main_thread_at(), begun, members)


def main_thread_at() -> str:
    """The innermost line that the main thread is in of a file that is no library's: `loop.py:130 (_steps)`."""
    ident = threading.main_thread().ident
    frame = sys._current_frames().get(ident) if ident is not None else None
    innermost = frame
    while frame is not None and _of_a_library(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "its end"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} ({frame.f_code.co_name})"


def _of_a_library(file: str) -> bool:
    own = file.startswith(f"{HOME}/groundup/")
    return not own and (file.startswith((*LIBRARIES, "<")) or "site-packages" in file)


def accused(found: Mapping[int, RankReport | None]) -> str:
    """Which ranks the others wait for, as a part of a sentence."""
    silent = [rank for rank, report in found.items() if report is None]
    known = {rank: report for rank, report in found.items() if report is not None}
    late = sorted({rank for report in known.values() for rank in _late(report, known)})
    parts = [f"rank {rank} did not arrive, it is at {known[rank].at}" for rank in late]
    parts += [f"rank {rank} does not answer (stopped, or its machine is gone)" for rank in silent]
    if not parts:
        return "all ranks have begun the same collectives, so the network or a device hangs"
    return "; ".join(parts)


def _late(report: RankReport, known: Mapping[int, RankReport]) -> Iterator[int]:
    """The members of this rank's groups that have begun fewer of a group's collectives than another member has."""
    for group, members in report.members.items():
        counts = {rank: known[rank].begun[group] for rank in members if rank in known and group in known[rank].begun}
        most = max(counts.values(), default=0)
        yield from (rank for rank, count in counts.items() if count < most)
