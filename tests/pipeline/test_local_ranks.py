"""A stage made by two processes of this machine: what they leave, and what happens when one of them is lost."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from rank_toys import TogetherConfig
from test_interruption import alive, finish, until, worker_of

from groundup.artifacts import StageKey
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.local_ranks import run_local_ranks
from groundup.pipeline.messages import StageRequest
from groundup.progress import Silent

TOTAL = sum(3 * step for step in range(1, 9))  # rank 0 gives 1 and rank 1 gives 2 times the step's number
TWO = {"dp_shard": 2}


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line.strip())


class Stage:
    """`make()` makes the stage as its worker does."""

    def __init__(self, root: Path, **changes: Any) -> None:
        config = TogetherConfig(**changes)
        key = StageKey("together", 1, {}, 1)
        function = "rank_toys:together"
        self.request = StageRequest(root, function, None, config, key, {}, root, 0.0, False, False, silent=True)
        self.out, self.keep, self.said = root / "out", root / "keep", Said()
        self.out.mkdir()
        self.keep.mkdir()

    def make(self) -> dict[str, Any]:
        return run_local_ranks(self.request, self.out, self.keep, self.said)

    def log(self, rank: int) -> str:
        return self.request.rank_log(rank).read_text()


def test_all_ranks_work_and_rank_0_writes(tmp_path: Path) -> None:
    """Each has its part of the cores, a compiler's cache and a log of its own."""
    stage = Stage(tmp_path)
    made = stage.make()
    assert made["figures"]["total"] == TOTAL
    assert made["figures"]["cache"] == "rank-0"
    assert made["provenance"]["torch"]
    assert (stage.out / "total").read_text() == str(TOTAL)
    assert (stage.out / "rank").read_text() == "0"
    for rank in (0, 1):
        first, *rest = stage.log(rank).splitlines()
        assert f"rank {rank} of 2" in first and rest == ["begins at 0"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # elastic's handlers are gone


def test_a_lost_rank_restarts_all_from_the_last_checkpoint(tmp_path: Path) -> None:
    """SIGKILL of one rank, then of the other: nothing is asked of anybody, and the result is the same."""
    stage = Stage(tmp_path, faults=("1:3:kill", "0:6:kill"))
    assert stage.make()["figures"]["total"] == TOTAL
    assert stage.said.lines == [
        "together lost rank 1, which was killed, most often because memory ran out; starting again from checkpoint-003",
        "together lost rank 0, which was killed, most often because memory ran out; starting again from checkpoint-006",
    ]
    begun = [line for line in stage.log(0).splitlines() if line.startswith("begins")]
    assert begun == ["begins at 0", "begins at 3", "begins at 6"]


def test_what_a_user_can_fix_is_reported_once_and_not_tried_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, faults=("1:2:always-user",))
    with pytest.raises(GroundupError) as raised:
        stage.make()
    assert str(raised.value) == "numbers.txt:3: the numbers are odd; make them even"
    assert stage.said.lines == []
    assert stage.log(1).count("begins at") == 1


def test_a_mistake_that_comes_again_and_again_ends_the_stage(tmp_path: Path) -> None:
    """Three more tries, and the rank to blame, though the other one fails too because it is gone."""
    stage = Stage(tmp_path, faults=("1:2:always-bug",))
    with pytest.raises(GroundupError, match="together failed in rank 1 ") as raised:
        stage.make()
    assert raised.value.where == str(tmp_path / "log" / "together")
    assert stage.log(1).count("begins at") == 4
    assert "ZeroDivisionError" in stage.log(1)


@pytest.mark.slow
def test_tries_are_counted_from_the_last_progress(tmp_path: Path) -> None:
    """Six losses, each after a new checkpoint: more than would be allowed in a row."""
    stage = Stage(tmp_path, faults=tuple(f"{step % 2}:{step}:kill" for step in range(1, 7)))
    assert stage.make()["figures"]["total"] == TOTAL
    assert len(stage.said.lines) == 6


def test_a_rank_that_does_not_arrive_is_named_and_all_start_again(tmp_path: Path) -> None:
    """The log of each rank has its stacks."""
    parallel = ParallelConfig(dp_shard=2, hang_seconds=1.0)
    stage = Stage(tmp_path, parallel=parallel, faults=("1:4:sleep",))
    assert stage.make()["figures"]["total"] == TOTAL
    (said,) = stage.said.lines
    assert "together hangs: step 5 has taken" in said
    assert "rank 1 did not arrive, it is at rank_toys.py:" in said and "(_go_wrong)" in said
    assert "rank 0 did not" not in said
    for rank, function in ((0, "all_reduce"), (1, "_go_wrong")):
        assert f"in {function}" in stage.log(rank)


# --- The same from outside: as a run, whose processes come and go together.

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def start(base: Path, run: Path, **together: Any) -> Any:
    import json
    import subprocess

    code = "import rank_toys; rank_toys.script()"
    command = [sys.executable, "-c", code, str(base), str(run), json.dumps({"together": together})]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def group_of(leader: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@linux
def test_a_killed_run_takes_its_ranks_along_and_they_resume_where_they_were(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, pause=0.3)
    until(lambda: list(run.glob("artifacts/.building/together-*.keep/checkpoint-002/state")), 200.0)
    worker = until(lambda: worker_of(process.pid))
    family = group_of(worker)
    assert len(family) >= 4  # the worker, elastic's server of processes, and two ranks
    process.kill()
    finish(process)
    until(lambda: not any(alive(one) for one in family), 60.0)
    assert finish(start(base, run)) == (0, "")
    artifact = RunFolder(run).artifact("together")
    assert artifact.file("total").read_text() == str(TOTAL)
    assert artifact.manifest.provenance["resumed"] is True
    assert artifact.manifest.provenance["processes"] == 2
    assert "begins at 0" not in (run / "log" / "together" / "rank-0.log").read_text().splitlines()[-1]


@pytest.mark.slow
@linux
def test_a_stopped_run_ends_its_ranks_with_one_line(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, pause=0.5)
    until(lambda: list(run.glob("artifacts/.building/together-*.keep/checkpoint-002/state")), 200.0)
    family = group_of(until(lambda: worker_of(process.pid)))
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "groundup: stopped; the same command resumes where it was\n")
    until(lambda: not any(alive(one) for one in family), 60.0)


@pytest.mark.slow
@linux
def test_a_killed_worker_takes_its_ranks_along(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(base, run, pause=0.5)
    until(lambda: list(run.glob("artifacts/.building/together-*.keep/checkpoint-002/state")), 200.0)
    worker = until(lambda: worker_of(process.pid))
    family = group_of(worker)
    os.kill(worker, signal.SIGKILL)
    status, errors = finish(process)
    assert status == 1 and "together was killed" in errors
    until(lambda: not any(alive(one) for one in family), 60.0)
