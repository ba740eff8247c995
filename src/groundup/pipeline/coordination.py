"""The processes of one job during a whole run: rank 0 leads, the others wait for the stages that need them.

    rank 0     runs the pipeline as a single process would. For a training stage it announces a request, then runs the
               stage in a process of its own, as rank 0 of a process group.
    the rest   wait for an announcement, take part in a process of their own each, and wait again, until rank 0
               announces that the run has ended.

Announcements go through a TCPStore: torchrun's agent serves one, elsewhere rank 0 does. They are pickles, as in
torch's own object collectives: whoever can reach the store's port is trusted, so it belongs into a private network.
The run folder must lie on a disk that all processes see under one path.
"""

import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from groundup.errors import GroundupError
from groundup.pipeline.job import Job, without_job
from groundup.pipeline.messages import StageRequest
from groundup.pipeline.process import UnforeseenError, run_stage

MEET = timedelta(minutes=30)  # within which all processes of a job must start
CAUSE_WAIT = 3.0  # seconds in which the report of the cause may arrive after those of its consequences
END_WAIT = 60.0  # seconds that rank 0 waits for the others to see the end, and a failed rank for rank 0
CAME, GONE = "came", "gone"  # keys: how many others have reached the store, and have seen that the run has ended


@dataclass(frozen=True)
class Announcement:
    """What rank 0 sends the others: a stage to take part in, or (without a request) that the run has ended."""

    request: StageRequest | None
    address: str = ""
    port: int = 0  # where the stage's process group meets
    status: int = 0  # with which to end


class Leader:
    """Rank 0's side: runs stages, with the others where a stage is distributed."""

    def __init__(self, job: Job) -> None:
        self.job, self.stages = job, 0
        self.store = _store(job)

    def make(self, request: StageRequest, log: Path) -> str:
        """As `run_stage`, in the whole job where the stage asks for more than one process."""
        if request.parallel is None:
            return run_stage(request, log, environment=without_job(os.environ))
        from torch._C._distributed_c10d import TCPStore

        # A store of its own: otherwise a process group finds what an earlier one wrote.
        meeting = TCPStore(self.job.address, 0, is_master=True, wait_for_workers=False, timeout=MEET)
        number = self._announce(Announcement(replace(request, afresh=False), self.job.address, meeting.port))
        rank = self.job.at(self.job.address, meeting.port, request.processes)
        try:
            return run_stage(
                request,
                request.rank_log(0),
                environment={**os.environ, **rank.environment()},
                watch=lambda: self._look(number),
            )
        except GroundupError as error:
            self._raise_cause(number, error)
            raise

    def end(self, status: int) -> None:
        """End the others."""
        self._announce(Announcement(None, status=status))
        if not self.job.served:
            self._wait_for_others()

    def _wait_for_others(self) -> None:
        """The store ends with this process: wait for those that have not reached it yet; for those that have reached it
        and ended otherwise (killed, or stopped as this one was) only a moment."""
        others, began = self.job.size - 1, time.monotonic()
        while self.store.add(GONE, 0) < others:
            all_came = self.store.add(CAME, 0) == others
            if time.monotonic() - began > (CAUSE_WAIT if all_came else END_WAIT):
                return
            time.sleep(0.1)

    def _announce(self, what: Announcement) -> int:
        self.stages += 1
        self.store.set(f"announcement/{self.stages}", pickle.dumps(what))
        return self.stages

    def _look(self, number: int) -> None:
        """Raises GroundupError if another process has failed in the stage."""
        if self.store.check([f"failed/{number}"]):
            time.sleep(CAUSE_WAIT)
            failures = [json.loads(line) for line in self.store.get(f"failed/{number}").decode().splitlines()]
            first = min(failures, key=lambda one: (not one["foreseen"], one["rank"]))
            raise GroundupError(f"{first['what']} (in rank {first['rank']})", where=first["where"], do=first["do"])

    def _raise_cause(self, number: int, error: GroundupError) -> None:
        """Where rank 0 failed only because another rank did, raise that rank's error instead."""
        if not isinstance(error, UnforeseenError):
            return
        until = time.monotonic() + CAUSE_WAIT
        while time.monotonic() < until:
            self._look(number)
            time.sleep(0.1)


@contextmanager
def leading(job: Job | None) -> Iterator[Callable[[StageRequest, Path], str]]:
    """Within it: how to make a stage, in one process or as rank 0 of a job, which then ends with this process."""
    if job is None:
        yield run_stage
        return
    leader = Leader(job)
    status = 1
    try:
        yield leader.make
        status = 0
    finally:
        leader.end(status)


def follow(job: Job) -> int:
    """Take part in the stages that rank 0 announces, until it announces the end; returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would wait for the store
    store, number, failed = _store(job), 0, 0
    store.add(CAME, 1)
    while True:
        number += 1
        found = _wait(store, f"announcement/{number}", END_WAIT if failed else None)
        if found is None:
            return failed or 1
        announced: Announcement = pickle.loads(found)
        if announced.request is None:
            store.add(GONE, 1)
            return announced.status or failed
        if job.rank < announced.request.processes and not failed:
            failed = _take_part(job, store, number, announced)


def _take_part(job: Job, store: Any, number: int, announced: Announcement) -> int:
    """Take part in one stage; 0, or 1 where this process failed, which is reported to rank 0."""
    request = announced.request
    assert request is not None
    rank = job.at(announced.address, announced.port, request.processes)
    try:
        with _stopped_by_signals():
            environment = {**os.environ, **rank.environment()}
            run_stage(request, request.rank_log(job.rank), environment=environment)
    except GroundupError as error:
        failure = {
            "rank": job.rank,
            "what": error.what,
            "where": error.where,
            "do": error.do,
            "foreseen": not isinstance(error, UnforeseenError),
        }
        store.append(f"failed/{number}", json.dumps(failure) + "\n")
        return 1
    return 0


def _store(job: Job) -> Any:
    """The job's TCPStore, under a prefix of its own for each time the job was started."""
    from torch._C._distributed_c10d import PrefixStore, TCPStore

    serves = job.rank == 0 and not job.served
    store = TCPStore(job.address, job.port, is_master=serves, wait_for_workers=False, timeout=MEET)
    return PrefixStore(f"groundup/{job.attempt}", store)


def _wait(store: Any, key: str, seconds: float | None) -> bytes | None:
    """The value of a key as soon as it is there; None where that takes longer than `seconds`, or rank 0 is gone.

    The kernel wakes this process, so waiting costs nothing however long rank 0 curates.
    """
    from torch.distributed import DistNetworkError, DistStoreError

    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = timedelta(hours=1) if until is None else timedelta(seconds=until - time.monotonic())
        if left <= timedelta(0):
            return None
        try:
            store.wait([key], left)
            return bytes(store.get(key))
        except DistNetworkError:
            return None
        except DistStoreError:  # this hour has passed
            continue


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Within it SIGINT and SIGTERM end the stage's process cleanly, and then this one with 128 + the signal.

    Outside of it a follower has nothing to clean up, and they end it at once.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_sizes(job: Job | None, processes: Mapping[str, int]) -> None:
    """Raises GroundupError where a job has another number of processes than the stages (name -> processes) ask for."""
    if job is None:
        return
    stage = max(processes, key=lambda name: processes[name])
    if processes[stage] != job.size:
        asked = f"{stage} asks for {processes[stage]}" if processes[stage] > 1 else "the blueprint asks for one"
        raise GroundupError(
            f"the job has {job.size} processes and {asked}",
            where="parallel",
            do=f"make parallel's degrees multiply to {job.size} (`--set parallel.dp_shard={job.size}`), or start "
            f"{processes[stage]}",
        )
