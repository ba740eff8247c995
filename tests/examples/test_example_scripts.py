"""The examples run to their end, with a small budget."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_train_align_sample(capsys: pytest.CaptureFixture[str]) -> None:
    """All four models are made and asked; every statement of the example is a public name of the library."""
    path = EXAMPLES / "train_align_sample.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 250
    imported = [line.split()[1] for line in lines if line.startswith("from groundup")]
    assert all(module.count(".") == 1 for module in imported), imported
    example = runpy.run_path(str(path))
    assert set(example["main"](example["QUICK"])) == {"base", "fine-tuned", "DPO", "GRPO"}
    assert "What is 4 plus 5?" in capsys.readouterr().out


def test_notebook() -> None:
    """Every cell runs, in order; training lowers the loss, and the comparisons are learnt."""
    found = runpy.run_path(str(EXAMPLES / "notebook.py"))
    assert found["rows"][-1]["loss"] < 0.7 * found["rows"][0]["loss"]
    assert found["rewarded"][-1]["accuracy"] == 1.0
