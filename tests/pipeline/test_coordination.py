"""A run inside a job that somebody else started: rank 0 runs the pipeline, the others take part where they are asked.

The processes of the job are started here as torchrun and SLURM start them: with one command, and with variables that
differ.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from test_interruption import until

from groundup.errors import GroundupError
from groundup.pipeline.coordination import check_sizes
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.job import Job

TOTAL = sum(3 * step for step in range(1, 9))
SECONDS = 200.0  # for anything; other work may share the cores


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


RUNNING: list["Started"] = []


@pytest.fixture(autouse=True)
def no_process_survives() -> Iterator[None]:
    yield
    while RUNNING:
        for process in RUNNING.pop().processes:
            process.kill()
            process.wait()


class Started:
    """A job of processes on this machine, each as `srun` starts it."""

    def __init__(
        self, base: Path, run: Path, size: int = 2, alone: Mapping[str, Any] | None = None, **together: Any
    ) -> None:
        code = "import rank_toys; rank_toys.script()"
        sections = json.dumps({"together": together, "alone": alone or {}})
        command = [sys.executable, "-c", code, str(base), str(run), sections]
        port = free_port()
        self.processes: list[subprocess.Popen[str]] = []
        RUNNING.append(self)
        for rank in range(size):
            variables = {
                "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(size),
                "SLURM_LOCALID": str(rank), "SLURM_STEP_TASKS_PER_NODE": str(size), "SLURM_STEP_NODELIST": "localhost",
                "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
            }  # fmt: skip
            self.processes.append(
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | variables
                )
            )

    def end(self) -> list[tuple[int, str, str]]:
        """(exit status, output, errors) of each process, by rank."""
        ended = []
        for process in self.processes:
            output, errors = process.communicate(timeout=SECONDS)
            ended.append((process.returncode, output, errors))
        return ended


def test_a_job_makes_the_stage_together_and_only_rank_0_prints(base: Path, tmp_path: Path) -> None:
    """What no training stage is, rank 0 makes alone, as if there were no job."""
    run = tmp_path / "run"
    (status, output, errors), follower = Started(base, run).end()
    assert (status, errors) == (0, "")
    assert "said by rank 0 of 2" in output
    assert follower == (0, "", "")
    made = RunFolder(run)
    assert made.artifact("together").file("total").read_text() == str(TOTAL)
    assert made.artifact("together").manifest.provenance["processes"] == 2
    assert made.artifact("alone").figures == {"job": "none"}
    for rank in (0, 1):
        assert f"rank {rank} of 2" in (run / "log" / "together" / f"rank-{rank}.log").read_text()
    assert [row["event"] for row in made.events()] == ["started", "done", "started", "done"]
    again, follower = Started(base, run).end()  # nothing to do, and nobody waits for long
    assert again[0] == 0 and again[1].startswith("Nothing to do")
    assert follower == (0, "", "")


def test_an_error_in_any_rank_is_reported_by_rank_0_and_ends_all(base: Path, tmp_path: Path) -> None:
    (status, _, errors), follower = Started(base, tmp_path / "run", faults=["1:2:user"]).end()
    assert (status, errors) == (1, "numbers.txt:3: the numbers are odd (in rank 1); make them even\n")
    assert follower == (1, "", "")


def test_a_job_of_another_size_is_refused_at_once(base: Path, tmp_path: Path) -> None:
    leader, *followers = Started(base, tmp_path / "run", size=3).end()
    assert leader[0] == 1
    assert "the job has 3 processes and together asks for 2" in leader[2]
    assert followers == [(1, "", "")] * 2


def test_sizes() -> None:
    job = Job(0, 4, 0, 4, "here", 1)
    check_sizes(None, {"pretrain": 2})
    check_sizes(job, {"pretrain": 4, "reward": 2})
    with pytest.raises(GroundupError, match=r"the job has 4 processes and the blueprint asks for one.*dp_shard=4"):
        check_sizes(job, {"pretrain": 1})


@pytest.mark.slow
def test_a_killed_process_ends_the_job_and_the_next_job_resumes(base: Path, tmp_path: Path) -> None:
    """Whichever it is; the others do not wait for it."""
    run = tmp_path / "run"
    for rank, step in ((1, 2), (0, 4)):
        ended = Started(base, run, faults=[f"{rank}:{step}:kill"]).end()
        assert all(status != 0 for status, _, _ in ended)
        assert ended[1][1:] == ("", "")
        assert "killed" in ended[0][2]
        assert list(run.glob(f"artifacts/.building/together-*.keep/checkpoint-{step:03}/state"))
    assert [status for status, _, _ in Started(base, run).end()] == [0, 0]
    assert RunFolder(run).artifact("together").file("total").read_text() == str(TOTAL)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["works", "waits"])
def test_a_follower_goes_with_rank_0(state: str, base: Path, tmp_path: Path) -> None:
    """Rank 0 is killed with SIGKILL while the other one works, and while it waits: it does not survive."""
    run = tmp_path / "run"
    job = Started(base, run, pause=0.5 if state == "works" else 0.0, alone={"pause": 600.0})
    keep = "together-*.keep/checkpoint-002/state" if state == "works" else "alone-*.keep"
    until(lambda: list(run.glob(f"artifacts/.building/{keep}")), SECONDS)
    job.processes[0].kill()
    assert job.processes[1].wait(SECONDS) != 0
    job.end()


@pytest.mark.slow
def test_sigterm_to_all_ends_all_with_one_line(base: Path, tmp_path: Path) -> None:
    """What SLURM does when the time is up."""
    run = tmp_path / "run"
    job = Started(base, run, pause=0.5)
    until(lambda: list(run.glob("artifacts/.building/together-*.keep/checkpoint-002/state")), SECONDS)
    for process in job.processes:
        process.send_signal(signal.SIGTERM)
    leader, follower = job.end()
    assert (leader[0], leader[2]) == (143, "groundup: stopped; the same command resumes where it was\n")
    assert follower == (143, "", "")


@pytest.mark.slow
def test_a_hang_is_reported_by_rank_0(base: Path, tmp_path: Path) -> None:
    parallel = {"dp_shard": 2, "hang_seconds": 1.0}
    run = tmp_path / "run"
    (status, _, errors), follower = Started(base, run, parallel=parallel, faults=["1:3:sleep"]).end()
    assert status == 1 and follower[0] == 1
    assert "together hangs: step 4 has taken" in errors and "rank 1 did not arrive" in errors
    assert "in _go_wrong" in (run / "log" / "together" / "rank-1.log").read_text()


@pytest.mark.slow
def test_torchrun_starts_a_job_again_after_a_loss(base: Path, tmp_path: Path) -> None:
    """By torchrun itself, with its restarts: a rank is killed twice, and the run ends as if it had not been."""
    run, script = tmp_path / "run", tmp_path / "script.py"
    script.write_text("import rank_toys; rank_toys.script()")
    sections = json.dumps({"together": {"faults": ["1:2:kill", "0:5:kill"]}})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "--max-restarts", "3", str(script), str(base), str(run), sections],
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert RunFolder(run).artifact("together").file("total").read_text() == str(TOTAL)
