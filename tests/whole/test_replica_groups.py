"""Replica groups under torchft: runs that pretrain one model together, of which one is killed and comes back."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from test_two_processes import FP32, copied
from tiny_run import finish, start

from groundup.pipeline.folder import RunFolder

pytestmark = pytest.mark.engines
LONG = ("--only", "pretrain", "--set", "pretrain.tokens=450_000", *FP32)
STEPS = 879
SECONDS = 300.0


@pytest.fixture
def lighthouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("torchft")
    from torchft.coordination import LighthouseServer

    server = LighthouseServer("127.0.0.1:0", 1, join_timeout_ms=1000, heartbeat_timeout_ms=1000)
    address = f"http://127.0.0.1:{server.address().rpartition(':')[2]}"
    monkeypatch.setenv("TORCHFT_LIGHTHOUSE", address)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    yield address
    server.shutdown()


def rows(run: Path) -> list[dict[str, Any]]:
    found = [*run.glob("artifacts/.building/pretrain-*.keep/metrics.jsonl")]
    lines = found[0].read_text().splitlines() if found else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def until_step(step: int, run: Path) -> None:
    end = time.monotonic() + SECONDS
    while len(rows(run)) < step:
        assert time.monotonic() < end, f"step {step} was never reached"
        time.sleep(0.02)


def pretrained(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    artifact = RunFolder(run).artifact("pretrain")
    return load_file(artifact.path / "model" / "model.safetensors"), artifact.figures


def worker_of(process: "subprocess.Popen[str]") -> int:
    """The process that trains."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def test_a_group_is_killed_and_comes_back(
    finished, lighthouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both end with the same weights, those of one process: nothing of any batch is lost or read twice."""
    alone, first, second = (copied(finished.run, tmp_path / name) for name in ("alone", "first", "second"))
    processes = [start(finished.blueprint, run, *LONG) for run in (first, second)]
    for run in (first, second):
        until_step(40, run)
    os.kill(worker_of(processes[1]), signal.SIGKILL)
    status, output = finish(processes[1], SECONDS)
    assert status == 1 and "killed" in output
    until_step(len(rows(first)) + 20, first)  # it continues
    again = start(finished.blueprint, second, *LONG)
    outputs = []
    for process in (processes[0], again):
        status, output = finish(process, SECONDS)
        assert status == 0, output
        outputs.append(output)
    assert "processes have come or gone; continuing with step" in outputs[1]
    logs = [(run / "log" / "pretrain.log").read_text() for run in (first, second)]
    assert [log.count(" of 2\n") for log in logs] >= [2, 1]  # together, one alone, and together again
    metrics = RunFolder(first).artifact("pretrain").path / "records" / "metrics.jsonl"
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(steps[0], STEPS + 1))  # the one that came second began with the other's state
    monkeypatch.delenv("TORCHFT_LIGHTHOUSE")
    status, output = finish(start(finished.blueprint, alone, *LONG), SECONDS)
    assert status == 0, output
    (ours, figures), (theirs, _), (expected, wanted) = (pretrained(run) for run in (first, second, alone))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert max(abs(ours[name] - expected[name]).max() for name in ours) < 1e-3
    assert figures["heldout_loss"] == pytest.approx(wanted["heldout_loss"], abs=1e-4)
    assert figures["tokens"] == wanted["tokens"]
