"""Scripts and manifests are what their readers take, and hold what they must."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.errors import GroundupError
from groundup.pipeline.launch import kubernetes, slurm, torchrun
from groundup.pipeline.launch.cluster import Cluster, spread

TWO = Cluster(
    "My_Model.2", "my blueprints/b.yaml", 2, 4, "{dp_shard: 8}", ("parallel.dp_shard=8", "name=it's"), "/data/run"
)
ONE = Cluster("one", "b.yaml", 1, 2, "{dp_shard: 2}")
COMMAND = "groundup run 'my blueprints/b.yaml' --set parallel.dp_shard=8 --set 'name=it'\"'\"'s' --run /data/run"


def in_bash(script: str, folder: Path) -> None:
    path = folder / "script"
    path.write_text(script)
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cluster", [ONE, TWO])
def test_shell_scripts_parse(cluster: Cluster, tmp_path: Path) -> None:
    in_bash(slurm.script(cluster), tmp_path)
    in_bash(torchrun.script(cluster), tmp_path)


def test_slurm_starts_a_process_for_each_device() -> None:
    lines = slurm.script(TWO).splitlines()
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=4", "#SBATCH --gpus-per-node=4"} <= set(lines)
    (srun,) = [line for line in lines if line.strip().startswith("srun")]
    assert COMMAND in srun


def test_a_slurm_script_tries_again_after_a_loss_and_is_queued_again_when_its_time_is_up(tmp_path: Path) -> None:
    """Run with an `srun` of our own, which fails with 137 (a killed process), then 143 (time is up)."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text(
        f'#!/bin/bash\necho "$@" >> {tmp_path}/calls\n[ "$(wc -l < {tmp_path}/calls)" = 1 ] && exit 137\nexit 143\n'
    )
    (tools / "scontrol").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/requeued\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "SLURM_CPUS_PER_TASK": "8", "SLURM_JOB_ID": "77"}
    script = slurm.script(TWO)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 143, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 2
    assert all(call.endswith("--set name=it's --run /data/run") for call in calls)
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"


def test_torchrun_s_script_calls_it(tmp_path: Path) -> None:
    """Its words as torchrun gets them, and a refusal to start without the first machine's name."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "torchrun").write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/words\n')
    (tools / "torchrun").chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin"}
    script = torchrun.script(TWO)
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "the name of the first machine" in done.stderr
    subprocess.run(["bash", "-c", script], env=environment | {"HEAD": "n1"}, check=True)
    words = (tmp_path / "words").read_text().splitlines()
    assert words[words.index("--rdzv-endpoint") + 1] == "n1:29500"
    assert words[words.index("--nnodes") + 1] == "2" and words[words.index("--nproc-per-node") + 1] == "4"
    assert words[words.index("--no-python") + 1 :] == ["--", *TWO.command]
    subprocess.run(["bash", "-c", torchrun.script(ONE)], env=environment, check=True)
    assert "--standalone" in (tmp_path / "words").read_text()


def test_torchrun_takes_the_script_s_words(tmp_path: Path) -> None:
    """By torchrun itself, which without `--` takes our --run for one of its own options."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "groundup").write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/words-$RANK\n')
    (tools / "groundup").chmod(0o755)
    script = torchrun.script(replace(ONE, run="/data/run", overrides=("parallel.dp_shard=2",)))
    path = f"{tools}:{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["bash", "-c", script], env=os.environ | {"PATH": path}, check=True, timeout=200)
    for rank in (0, 1):
        words = (tmp_path / f"words-{rank}").read_text().splitlines()
        assert words == ["run", "b.yaml", "--set", "parallel.dp_shard=2", "--run", "/data/run"]


@pytest.mark.parametrize("cluster", [ONE, TWO])
def test_a_jobset_has_a_pod_for_each_node(cluster: Cluster) -> None:
    manifest = YAML(typ="safe").load(kubernetes.jobset(cluster))
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] > 0
    (job,) = manifest["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert (spec["parallelism"], spec["completions"], spec["completionMode"]) == (
        cluster.nodes,
        cluster.nodes,
        "Indexed",
    )
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == cluster.per_node
    (line,) = container["args"]
    assert "\n" not in line
    name = manifest["metadata"]["name"]
    assert f"--nnodes={cluster.nodes} --nproc-per-node={cluster.per_node}" in line
    assert f"--master-addr={name}-{job['name']}-0-0.{name}" in line  # how JobSet names its first pod
    assert line.endswith(f"-- {cluster.line}")
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_names_are_such_as_kubernetes_takes() -> None:
    assert YAML(typ="safe").load(kubernetes.jobset(TWO))["metadata"]["name"] == "my-model-2"


@pytest.mark.parametrize("cluster", [ONE, TWO])
def test_a_pytorchjob_has_a_master_and_workers(cluster: Cluster) -> None:
    manifest = YAML(typ="safe").load(kubernetes.pytorchjob(cluster))
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    assert manifest["spec"]["nprocPerNode"] == str(cluster.per_node)
    replicas = manifest["spec"]["pytorchReplicaSpecs"]
    assert sum(part["replicas"] for part in replicas.values()) == cluster.nodes
    for part in replicas.values():
        (container,) = part["template"]["spec"]["containers"]
        assert container["name"] == "pytorch"  # the operator looks for this name
        assert container["args"] == [f"torchrun --no-python -- {cluster.line}"]


def test_nodes_and_devices_make_the_processes_that_the_blueprint_asks_for() -> None:
    assert spread({"pretrain": 8, "sft": 1}, 2, None) == 4
    assert spread({"pretrain": 8, "sft": 2}, 1, 8) == 8
    with pytest.raises(GroundupError, match=r"2 x 8 are 16 processes, and pretrain asks for 8.*dp_shard=16"):
        spread({"pretrain": 8, "sft": 2}, 2, 8)
    with pytest.raises(GroundupError, match="3 x 2 are 6 processes"):
        spread({"pretrain": 8}, 3, None)


@pytest.mark.parametrize(
    ("verb", "ending", "start"), [("slurm", "sbatch", "sbatch"), ("torchrun", "sh", "bash"), ("k8s", "yaml", "kubectl")]
)
def test_the_verb_writes_a_file_and_says_what_next(
    verb: str, ending: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.yaml").write_text("name: mine\ncurate:\n  sources: [{kind: files, path: pages}]\n")
    arguments = ["launch", verb, "b.yaml", "--nodes", "2", "--gpus-per-node", "2", "--set", "parallel.dp_shard=4"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"Wrote mine.{ending}. Edit it, then: {start}" in done.output
    text = (tmp_path / f"mine.{ending}").read_text()
    assert "groundup run b.yaml --set parallel.dp_shard=4" in text
    assert "{dp_shard: 4}" in text
    again = CliRunner().invoke(app, arguments)  # what a person has edited is not written over
    assert isinstance(again.exception, GroundupError)
    assert CliRunner().invoke(app, [*arguments, "--out", "-"]).output == text
