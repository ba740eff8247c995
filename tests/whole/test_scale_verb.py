"""`groundup scale` on forty made-up pages: killed on its way it ends with the same law."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_run import write_tiny

LADDER = ("scale.flops=3e10", "scale.sizes=[46K,62K,79K,133K]", "scale.budgets=2", "scale.bootstrap=20")
RUNGS = 7  # three sizes at two budgets, and the held-out one


def scale(blueprint: Path, run: Path, *arguments: str) -> "subprocess.Popen[str]":
    sets = [part for one in LADDER for part in ("--set", one)]
    return subprocess.Popen(
        [sys.executable, "-c", "from groundup.cli.main import main; main()"]
        + ["scale", str(blueprint), "--run", str(run), *sets, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "GROUNDUP_THREADS": "1", "OMP_NUM_THREADS": "1", "GROUNDUP_DEVICE": "cpu"},
    )


def finished(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def figures(run: Path) -> dict[str, Any]:
    """Without times."""
    found = json.loads((run / "scale" / "index.json").read_text(encoding="utf-8"))
    for rung in (*found["rungs"], found["heldout"]["measured"]):
        rung.pop("seconds")
    return {**found, "page": None}


def trained(run: Path) -> int:
    return len([path for path in (run / "artifacts").glob("pretrain-*") if (path / "manifest.json").is_file()])


@pytest.mark.slow
def test_a_ladder_that_was_killed_ends_with_the_same_figures(tmp_path: Path) -> None:
    blueprint = write_tiny(tmp_path / "mine")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    output = finished(scale(blueprint, whole))
    assert "held-out model" in output and trained(whole) == RUNGS
    process = scale(blueprint, broken)
    while trained(broken) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert trained(broken) < RUNGS
    finished(scale(blueprint, broken))
    assert figures(broken) == figures(whole)
