"""The ranks of a distributed stage on this machine: start them, and start them again when one fails."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError
from groundup.machine import usable_cores
from groundup.pipeline.messages import StageRequest
from groundup.pipeline.rank import BROKE, HANGS, local_rank
from groundup.progress import Progress

RESTARTS = 3  # in a row without a new checkpoint; then it is no accident


def run_local_ranks(request: StageRequest, out: Path, keep: Path, progress: Progress) -> dict[str, Any]:
    """Call the stage's function in `request.processes` new processes; `{"figures", "provenance"}` of rank 0.

    A rank that is killed, breaks or hangs ends the others, and all start again from the newest checkpoint.

    Raises:
        GroundupError: a rank failed with an expected error, or ranks fail again and again.
    """
    from groundup.parallel.elastic import RankFailedError, run_ranks

    stage, processes = request.key.stage, request.processes
    if processes > usable_cores() and not _has_devices(processes):
        progress.say(f"    {stage}: {processes} processes on {usable_cores()} cores")
    folder, tries, newest = Path(tempfile.mkdtemp(prefix="groundup-ranks-")), 0, _newest(keep)
    try:
        while True:
            try:
                made: dict[str, Any] = run_ranks(
                    local_rank, (request, out, keep, folder), processes, [request.function.partition(":")[0]]
                )[0]
                return made
            except RankFailedError as error:
                answers, killed = _answers(folder), error.rank if error.exit_code < 0 else None
            foreseen = [answer for answer in answers.values() if "what" in answer]
            if foreseen:
                raise GroundupError(foreseen[0]["what"], where=foreseen[0]["where"], do=foreseen[0]["do"])
            tries = tries + 1 if _newest(keep) == newest else 1
            newest = _newest(keep)
            failure = _failure(stage, answers, processes, killed)
            if tries > RESTARTS:
                raise GroundupError(
                    f"{failure}, {tries} times without a new checkpoint",
                    where=str(request.rank_log(0).parent),
                    do="the logs of all ranks are there; run again: it resumes where it was",
                )
            progress.say(f"    {failure}; starting again from {newest or 'the beginning'}")
            _clear(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _failure(stage: str, answers: Mapping[int, Mapping[str, str]], processes: int, killed: int | None) -> str:
    """What happened, as a sentence. `killed` is the rank that a signal ended first.

    Without it, a rank that left no report was killed, or was ended because another one was.
    """
    hangs = next((answer[HANGS] for answer in answers.values() if HANGS in answer), None)
    if hangs:
        return f"{stage} hangs: {hangs}"
    failed = {rank: answer[BROKE] for rank, answer in answers.items() if BROKE in answer}
    causes = {rank: what for rank, what in failed.items() if not _others_fault(what)}
    if causes:
        rank, what = next(iter(causes.items()))
        return f"{stage} failed in rank {rank} ({what.splitlines()[0][:160]})"
    silent = [killed] if killed is not None else [rank for rank in range(processes) if rank not in answers]
    names = ", ".join(map(str, silent))
    lost = f"one of the ranks {names}" if len(silent) > 1 else f"rank {names}" if silent else "a rank"
    return f"{stage} lost {lost}, which was killed, most often because memory ran out"


def _others_fault(what: str) -> bool:
    """Whether an error of Gloo, NCCL or the store only reports that another rank is gone."""
    words = ("closed by peer", "reset by peer", "Broken pipe", "remote process exited", "Connection refused")
    return any(word in what for word in words)


def _answers(folder: Path) -> dict[int, dict[str, str]]:
    """The reports of the ranks that ended, by rank; each is read once."""
    found = {}
    for path in sorted(folder.glob("rank-*.json")):
        found[int(path.stem.removeprefix("rank-"))] = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    return found


def _newest(keep: Path) -> str | None:
    """The name of the newest checkpoint."""
    return max((path.name for path in keep.glob("checkpoint-*")), default=None)


def _clear(folder: Path) -> None:
    """Empty the output folder: a stage finds it empty whenever it starts."""
    shutil.rmtree(folder)
    folder.mkdir()


def _has_devices(processes: int) -> bool:
    """Whether there seem to be GPUs enough, so that cores don't matter."""
    return os.path.exists(f"/dev/nvidia{processes - 1}")  # noqa: PTH110
