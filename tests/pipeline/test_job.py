"""A process finds its rank in the job, whoever started it."""

import os
import subprocess
import sys

import pytest

from groundup.errors import GroundupError
from groundup.pipeline.job import Job, find, first_host, without_job

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2",
}  # fmt: skip
SLURM = {
    "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "7", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,3", "SLURM_STEP_NODELIST": "gpu[03-04]", "SLURM_JOB_ID": "4007123",
}  # fmt: skip
POD = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456"}


def test_torchrun() -> None:
    assert find(TORCHRUN) == Job(5, 8, 1, 4, "node1", 29500, served=True, attempt=2)


def test_slurm() -> None:
    """The first host of the list, a port that follows from the job's number, as many neighbours as the node has."""
    assert find(SLURM) == Job(5, 7, 1, 3, "gpu03", 20_000 + 7123, served=False)
    again = SLURM | {"MASTER_ADDR": "head", "MASTER_PORT": "4444", "SLURM_RESTART_COUNT": "3"}
    assert find(again) == Job(5, 7, 1, 3, "head", 4444, attempt=3)


def test_slurm_that_shows_each_task_its_own_device() -> None:
    assert find(SLURM | {"CUDA_VISIBLE_DEVICES": "3"}).local_rank == 0
    assert find(SLURM | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}).local_rank == 1


def test_a_pod_of_a_pytorchjob() -> None:
    assert find(POD) == Job(1, 2, 0, 1, "job-master-0", 23456)


def test_torchrun_inside_slurm_is_torchrun_s_job() -> None:
    assert find(SLURM | TORCHRUN) == find(TORCHRUN)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        POD | {"WORLD_SIZE": "1", "RANK": "0"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NODELIST": "a[1-2]"},  # the batch script itself
        SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ],
)
def test_no_job(environment: dict[str, str]) -> None:
    assert find(environment) is None


def test_half_of_a_job_is_said() -> None:
    with pytest.raises(GroundupError, match="MASTER_ADDR is not set, though RANK is"):
        find({"RANK": "0", "WORLD_SIZE": "2"})
    with pytest.raises(GroundupError, match="a variable of the job is no number"):
        find(POD | {"WORLD_SIZE": "two"})


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node1", "node1"), ("a1,a2", "a1"), ("gpu[01-04,7],cpu3", "gpu01"), ("gpu[7,9]", "gpu7"),
        ("n[1-2]-ib", "n1-ib"), ("x-y[10-12]", "x-y10"),
    ],
)  # fmt: skip
def test_the_first_of_a_node_list(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


def test_the_environment_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's variables, its part of the cores, and a compiler's cache that no other rank has."""
    monkeypatch.delenv("GROUNDUP_THREADS", raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/cache")
    monkeypatch.setattr("groundup.pipeline.job.usable_cores", lambda: 8)
    ranks = [Job(rank, 3, rank, 3, "here", 1).environment() for rank in range(3)]
    assert find(ranks[2]) == Job(2, 3, 2, 3, "here", 1)
    assert {one["GROUNDUP_THREADS"] for one in ranks} == {"2"}
    assert [one["TORCHINDUCTOR_CACHE_DIR"] for one in ranks] == [
        "/cache/rank-0",
        "/cache/rank-1",
        "/cache/rank-2",
    ]
    monkeypatch.setenv("GROUNDUP_THREADS", "5")  # a person's word
    assert ranks[0] | {"GROUNDUP_THREADS": "5", "OMP_NUM_THREADS": "5"} == Job(0, 3, 0, 3, "here", 1).environment()
    assert find(without_job(ranks[1])) is None


def test_slurm_has_bound_cores_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDUP_THREADS", raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert Job(0, 8, 0, 8, "here", 1).environment()["GROUNDUP_THREADS"] == "6"


def test_asking_costs_no_torch() -> None:
    code = "import sys, groundup.pipeline.job, groundup.pipeline.coordination, groundup.pipeline.local_ranks; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
