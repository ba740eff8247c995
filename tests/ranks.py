"""Several processes for a test: forked, so that starting them takes tenths of a second, and never left hanging.

    losses = ranks.run(2, train, "some", argument)      # what train(argument...) returned in rank 0, rank 1, ...
    curves = ranks.run_each(2, train, {"a": ("some", argument), "b": ("other", argument)})

A function under test finds its rank as under torchrun, in the environment, and the process group joined. Ranks talk
over loopback, and find each other through a file.
"""

import faulthandler
import gc
import multiprocessing as mp
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from groundup.parallel.mesh.process_group import quiet

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)
torch.ones((), requires_grad=True).backward()  # before all else: autograd then starts no threads that a fork would lose
SECONDS = 60.0  # for everything; a rank that takes longer prints its stacks


def run(size: int, function: Callable[..., Result], *arguments: Any, seconds: float = SECONDS) -> list[Result]:
    """What `function(*arguments)` returns in each of `size` processes, by rank.

    Raises:
        AssertionError: a process failed, with its traceback, or took too long.
    """
    fork = mp.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = [fork.Pipe(duplex=False) for _ in range(size)]
        processes = [
            fork.Process(target=_rank, args=(rank, size, Path(folder), pipes[rank][1], seconds, function, arguments))
            for rank in range(size)
        ]
        for process, (_, writing) in zip(processes, pipes, strict=True):
            process.start()
            writing.close()  # so that a rank's death ends its pipe
        try:
            return _results([reading for reading, _ in pipes], seconds)
        finally:
            for process in processes:
                process.join(1)
                if process.is_alive():
                    process.kill()
                    process.join()


def run_each(
    size: int, function: Callable[..., Result], jobs: Mapping[Key, tuple[Any, ...]], seconds: float = 300.0
) -> dict[Key, list[Result]]:
    """`function(*job)` for every job, one after the other in the same processes; by job, then by rank.

    What DTensor works out at the first operation of a kind takes longer than the arithmetic of a small model.
    """
    results = run(size, _each, function, jobs, seconds=seconds)
    return {key: [result[key] for result in results] for key in jobs}


def _each(function: Callable[..., Result], jobs: Mapping[Key, tuple[Any, ...]]) -> dict[Key, Result]:
    found = {}
    for key, arguments in jobs.items():
        try:
            found[key] = function(*arguments)
        except BaseException as error:
            error.add_note(f"in the job {key!r}")
            raise
        gc.collect()  # what holds a job's communicators
    return found


def _results(pipes: list[Connection], seconds: float) -> list[Any]:
    results, open_pipes, end = dict[int, Any](), dict(enumerate(pipes)), time.monotonic() + seconds
    while open_pipes:
        ready = wait(list(open_pipes.values()), max(0.0, end - time.monotonic()))
        if not ready:
            raise AssertionError(f"ranks {sorted(open_pipes)} took over {seconds:g} s; their stacks are above")
        for rank, pipe in list(open_pipes.items()):
            if pipe not in ready:
                continue
            try:
                good, value = pickle.loads(pipe.recv_bytes())
            except EOFError:
                raise AssertionError(f"rank {rank} died without a word") from None
            if not good:
                raise AssertionError(f"rank {rank} failed:\n{value}")
            results[rank] = value
            del open_pipes[rank]
    return [results[rank] for rank in sorted(results)]


def _rank(
    rank: int,
    size: int,
    folder: Path,
    pipe: Connection,
    seconds: float,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds * 0.9, exit=True)
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "GROUNDUP_DEVICE": "cpu"}
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    try:
        quiet()
        store = dist.FileStore(str(folder / "store"), size)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds * 0.8)
        )
        value = function(*arguments)
        answer = pickle.dumps((True, value))
        if dist.is_initialized():
            dist.barrier()
            del value
            gc.collect()
            dist.destroy_process_group()
        pipe.send_bytes(answer)
    except BaseException:
        pipe.send_bytes(pickle.dumps((False, traceback.format_exc())))
    finally:
        pipe.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # neither pytest's hooks nor the parent's exit handlers are this process's business
