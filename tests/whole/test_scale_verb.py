"""`groundup scale` on made-up pages: killed on its way it ends with the same law; two corpora are compared."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_run import write_tiny

LADDER = ("scale.flops=3e10", "scale.sizes=[59K,75K,92K,158K]", "scale.budgets=2", "scale.bootstrap=20")
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


def two_corpora(folder: Path, heldout: float) -> tuple[Path, Path]:
    """Blueprints of eighty pages, and of the same ones among twice as many pages of syllables."""
    mine = write_tiny(folder, pages=80)
    text = mine.read_text(encoding="utf-8").replace("heldout: 0.1", f"heldout: {heldout}")
    mine.write_text(text, encoding="utf-8")
    rng = random.Random(3)
    (folder / "noise").mkdir()
    for page in range(160):
        words = ["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)) for _ in range(150)]
        (folder / "noise" / f"{page:03}.md").write_text(" ".join(words) + ".\n", encoding="utf-8")
    other = folder / "other.yaml"
    both = "[{kind: files, path: pages}, {kind: files, path: noise}]"
    other.write_text(text.replace("[{kind: files, path: pages}]", both), encoding="utf-8")
    return mine, other


@pytest.mark.slow
def test_too_few_common_documents_are_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    blueprint, other = two_corpora(tmp_path / "mine", heldout=0.05)
    process = scale(blueprint, tmp_path / "run", "--against", str(other))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.search(r"groundup: curate\.heldout: only \d+ held-out documents are in both sides; raise it", output)
    assert sorted({path.name.split("-")[0] for path in (tmp_path / "run" / "artifacts").glob("*-*")}) == ["curate"]


@pytest.mark.slow
def test_of_two_corpora_the_one_without_noise_teaches_more_about_the_same_documents(tmp_path: Path) -> None:
    """The noise is two thirds of what a model reads. Asked again, nothing is trained and the figures are the same."""
    blueprint, other = two_corpora(tmp_path / "mine", heldout=0.4)
    run = tmp_path / "run"
    found = []
    for _ in range(2):
        output = finished(scale(blueprint, run, "--against", str(other)))
        assert trained(run) == 8  # two sizes at two budgets, of each side
        found.append(json.loads((run / "scale" / "data.json").read_text(encoding="utf-8")))
    first, second = found
    assert first == second
    assert first["sentences"][0] in output
    assert len(first["rungs"]) == 4 and "Every pair of models" in (run / "scale" / "data.html").read_text("utf-8")
    for rung in first["rungs"]:
        bits, (mean, low, high) = rung["bits_per_byte"], rung["difference"]
        assert 20 <= rung["documents"] < 80 and bits[1] - bits[0] == pytest.approx(mean)
        assert 0 < low < mean < high
    assert first["forecast"]["low"] < first["forecast"]["value"] < first["forecast"]["high"]
