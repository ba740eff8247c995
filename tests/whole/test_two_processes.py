"""The whole run by two processes with sharded weights and batches: the same figures as by one, whatever is killed, and
under whichever engine."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny_run import contents, finish, start

TWO = ("--set", "parallel.dp_shard=2")
FP32 = ("--set", "pretrain.precision=fp32")  # bf16 rounds so coarsely that other sums would move samples
TRAINED = ("pretrain", "sft", "reward", "ppo")
MADE = ("environment", "seconds", "peak_rss_bytes", "artifacts", "predicted")  # of times, the machine, and digests
SECONDS = 900.0  # other work may share the cores


def copied(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def made_by(run: Path, stage: str) -> int:
    from groundup.pipeline.folder import RunFolder

    return int(RunFolder(run).artifact(stage).manifest.provenance["processes"])


def ranks_of(run: Path, stage: str) -> list[int]:
    """The living rank processes of a stage, from the first lines of their newest tries in their logs."""
    found = []
    for log in sorted((run / "log" / stage).glob("rank-*.log")):
        tries = re.findall(r"^--- .* process (\d+) on ", log.read_text(errors="replace"), re.MULTILINE)
        if tries and Path(f"/proc/{tries[-1]}/stat").exists():
            found.append(int(tries[-1]))
    return found


def checkpoints(run: Path) -> set[str]:
    return {str(path) for path in run.glob("artifacts/.building/*.keep/checkpoint-*")}


def kill_ranks(process: "subprocess.Popen[str]", run: Path, kills: int, rng: random.Random) -> list[str]:
    """SIGKILL ranks of whatever stage is under way until `kills` are done or the run has ended; the stages hit.

    Every other kill waits for a checkpoint after the one before: three losses in a row without one end a stage.
    """
    hit: list[str] = []
    before: list[int] = []
    seen = checkpoints(run)
    while process.poll() is None and len(hit) < kills:
        time.sleep(0.02)
        stage = next((name for name in TRAINED if len(ranks_of(run, name)) == 2), None)
        pids = ranks_of(run, stage) if stage else []
        if stage is None or set(pids) & set(before) or (len(hit) % 2 and not checkpoints(run) - seen):
            continue
        time.sleep(rng.uniform(0.0, 1.5))
        try:
            os.kill(rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:  # the stage has just ended
            continue
        hit.append(stage)
        before, seen = pids, checkpoints(run)
    return hit


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two reports' values differ by more than rounding, and what only one of them has."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in one or key not in other:
                yield f"{path}{key}: only in one"
            else:
                yield from differences(one[key], other[key], f"{path}{key}.")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{path}{index}.")
    elif isinstance(one, float) or isinstance(other, float):
        if other != pytest.approx(one, rel=1e-3, abs=1e-4):
            yield f"{path[:-1]}: {one} and {other}"
    elif one != other:
        yield f"{path[:-1]}: {one} and {other}"


def test_a_killed_rank_changes_nothing(finished, tmp_path: Path) -> None:
    """Pretraining by two processes, of which one is killed twice, ends with the bits of the uninterrupted one, and
    what it has learnt is what one process learns."""
    again = ("--only", "pretrain", "--force", "pretrain", *TWO)
    whole, broken = copied(finished.run, tmp_path / "whole"), copied(finished.run, tmp_path / "broken")
    status, output = finish(start(finished.blueprint, whole, *again), SECONDS)
    assert status == 0, output
    assert made_by(whole, "pretrain") == 2
    process = start(finished.blueprint, broken, *again)
    hit = kill_ranks(process, broken, 2, random.Random(3))
    status, output = finish(process, SECONDS)
    assert status == 0, output
    assert hit == ["pretrain"] * 2
    assert output.count("pretrain lost") == 2 and output.count("starting again from") == 2
    assert contents(broken)["pretrain"] == contents(whole)["pretrain"]
    from groundup.pipeline.folder import RunFolder

    losses = [RunFolder(run).artifact("pretrain").figures["heldout_loss"] for run in (whole, finished.run)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-2)


def walked(finished: Any, run: Path, *more: str) -> dict[str, Any]:
    """The report of a copy of the finished run that is trained again, in float32."""
    copied(finished.run, run)
    status, output = finish(start(finished.blueprint, run, *FP32, *more, "--from", "pretrain"), SECONDS)
    assert status == 0, output
    found = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name not in MADE}


@pytest.fixture(scope="module")
def by_one(finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("alone") / "run"
    found = walked(finished, run)
    assert {made_by(run, stage) for stage in TRAINED} == {1}
    assert {*TRAINED, "samples"} <= set(found)
    return found


@pytest.mark.slow
def test_the_report_of_two_processes_is_that_of_one(finished, by_one: dict[str, Any], tmp_path: Path) -> None:
    by_two = walked(finished, tmp_path / "run", *TWO)
    assert {made_by(tmp_path / "run", stage) for stage in TRAINED} == {2}
    assert list(differences(by_one, by_two)) == []


@pytest.mark.engines
@pytest.mark.parametrize(
    ("engine", "stages"), [("deepspeed", TRAINED), ("megatron", ("pretrain", "sft"))], ids=["deepspeed", "megatron"]
)
def test_the_report_of_another_engine_is_the_same(
    engine: str, stages: tuple[str, ...], finished, by_one: dict[str, Any], tmp_path: Path
) -> None:
    """Megatron trains language models alone, so reward and ppo stay with the engine torch."""
    if find_spec(engine) is None:  # not imported here: other tests import megatron-core over the shim
        pytest.skip(f"{engine} is not installed")
    run = tmp_path / "run"
    settings = {"engine": engine, "dp_shard": 2}
    more = [f"--set={stage}.parallel.{key}={value}" for stage in stages for key, value in settings.items()]
    found = walked(finished, run, *more)
    assert {stage for stage in TRAINED if made_by(run, stage) == 2} == set(stages)
    assert list(differences(by_one, found)) == []
    logs = "".join(path.read_text() for path in run.glob("log/*/rank-?.log"))
    assert "FutureWarning" not in logs  # once a step, else, and about what no reader can change
    assert ("DeepSpeed's settings" in logs) == (engine == "deepspeed")


@pytest.mark.slow
def test_twenty_kills_of_ranks_change_nothing(finished, tmp_path: Path) -> None:
    """At random times of all training stages, also while they save, which they do after every step."""
    whole = copied(finished.run, tmp_path / "whole")
    status, output = finish(start(finished.blueprint, whole, *TWO, "--from", "pretrain"), SECONDS)
    assert status == 0, output
    rng, hit = random.Random(5), list[str]()
    while len(hit) < 20:
        broken = copied(finished.run, tmp_path / f"broken{len(hit)}")
        process = start(finished.blueprint, broken, *TWO, "--from", "pretrain")
        hit += kill_ranks(process, broken, 20 - len(hit), rng)
        status, output = finish(process, 2 * SECONDS)
        assert status == 0, output
        assert contents(broken) == contents(whole)
    assert len(set(hit)) >= 3, hit
