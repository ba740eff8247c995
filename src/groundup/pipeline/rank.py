"""One rank's part of a stage that several processes make together.

All ranks call the stage's function. Rank 0 writes the result, reports progress and returns the figures; what the
others write goes into a folder that is removed. What is kept for the next try (`keep`) is one folder for all,
since checkpoints are written by all ranks together. Every rank has a log of its own.
"""

import faulthandler
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Figures, Manifest, Store, Work
from groundup.lazy import load
from groundup.pipeline.messages import StageRequest, error_message
from groundup.pipeline.provenance import provenance
from groundup.pipeline.watchdog import Watchdog, Watched
from groundup.progress import Silent, for_terminal

TIMEOUT = timedelta(minutes=30)  # of a collective: the watchdog, which reports more, comes first
BROKE, HANGS = "broke", "hangs"  # keys of what a rank reports that did not end by an expected error


def take_part(request: StageRequest, out: Path, keep: Path, hangs: Callable[[str], None]) -> Figures:
    """This process's part, in the job that the environment describes; returns the stage's figures.

    Args:
        hangs: called with a description when a step does not end; must end the process.
    """
    from groundup.parallel.mesh import process_group  # torch is this process's business, not its starter's

    parallel = request.parallel
    assert parallel is not None
    leader = os.environ["RANK"] == "0"
    inputs = {name: Artifact(path, Manifest.read(path)) for name, path in request.inputs.items()}
    scratch = None if leader else Path(tempfile.mkdtemp(prefix=f"groundup-rank-{os.environ['RANK']}-"))
    try:
        process_group.join(parallel, TIMEOUT)
        with Watchdog(parallel.hang_seconds, hangs) as watchdog:
            shown = for_terminal() if leader and not request.silent else Silent()
            work = Work(
                out=scratch or out,
                keep=keep,
                seed=request.key.seed,
                base=request.base,
                progress=Watched(shown, watchdog),
            )
            figures: Figures = load(request.function)(request.config, inputs, work)
        process_group.leave()
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return figures


def follow(request: StageRequest, hangs: Callable[[str], None]) -> None:
    """The part of a process that joined a job and is not its first; the first one has made room for the stage."""
    head(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    take_part(request, Path(os.devnull), Store(request.run).kept(request.key), hangs)


def in_a_job() -> bool:
    """Whether this process makes its stage together with others that somebody else has started."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def hanging(request: StageRequest, what: str) -> dict[str, Any]:
    """The answer of a process whose stage hangs."""
    return {
        "what": f"{request.key.stage} hangs: {what}",
        "where": str(request.rank_log(0).parent),
        "do": "the stacks of all ranks are there; run again: it resumes from the last checkpoint",
    }


def local_rank(request: StageRequest, out: Path, keep: Path, folder: Path) -> dict[str, Any] | None:
    """What each process of a local start does; rank 0 returns `{"figures", "provenance"}`.

    Args:
        folder: where an error is left as `rank-N.json`, as `error_message` gives it.
    """
    from groundup.parallel.elastic import end_at_sigterm

    end_at_sigterm()
    settle_rank(request)

    def leave(answer: dict[str, Any]) -> None:
        name = f"rank-{os.environ['RANK']}"
        (folder / f".{name}").write_text(json.dumps(answer), encoding="utf-8")
        (folder / f".{name}").replace(folder / f"{name}.json")
        sys.stderr.flush()
        # Not by way of Python's end: destroying communicators there would wait for the others.
        os._exit(1)

    try:
        figures = take_part(request, out, keep, lambda what: leave({HANGS: what}))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        traceback.print_exc()
        leave(error_message(request, error) or {BROKE: f"{type(error).__name__}: {error}"})
    return {"figures": figures, "provenance": provenance()} if os.environ["RANK"] == "0" else None


def settle_rank(request: StageRequest) -> None:
    """Give this rank its part of the machine, and its standard error a log of its own."""
    from groundup.pipeline.job import find

    job = find()
    assert job is not None, "a rank is started as part of a job"
    os.environ.update(job.environment())
    log = request.rank_log(job.rank)
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 2)
    if job.rank:
        os.dup2(descriptor, 1)  # only rank 0 prints
    os.close(descriptor)
    faulthandler.enable()
    head(job.rank, job.size)


def head(rank: int, size: int) -> None:
    """The first line of each try in a rank's log."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    print(
        f"--- {now} rank {rank} of {size}, process {os.getpid()} on {os.uname().nodename}", file=sys.stderr, flush=True
    )
