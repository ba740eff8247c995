"""`groundup eval MODEL --task FILE`: a task asked of a Hugging Face folder, as text and as JSON."""

import json
import sys
from pathlib import Path

import pytest

import tiny
from groundup.cli.main import main
from groundup.model.huggingface import save_huggingface
from groundup.tokenizer.tokenizer import Tokenizer

WORDS = Tokenizer([])
TASK = "name: pairs\nkind: multiple_choice\ndata: rows.jsonl\nchoices: ['{good}', '{bad}']\nanswer: 0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tiny.model(5, vocab_size=WORDS.vocabulary_size)
    ends = {"end_of_text": WORDS.end_of_text, "end": WORDS.end, "pad": WORDS.pad}
    save_huggingface(tmp_path / "model", made, "float32", **ends)
    WORDS.save(tmp_path / "model" / "tokenizer.json")
    (tmp_path / "rows.jsonl").write_text('{"good": "they are", "bad": "they is"}\n' * 4)
    (tmp_path / "task.yaml").write_text(TASK)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["groundup", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, error = capsys.readouterr()
    return int(ended.value.code or 0), out, error


def test_a_task_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("eval", str(folder / "model"), "--task", str(folder / "task.yaml"))
    status, out, error = run(monkeypatch, capsys, *arguments)
    assert status == 0, error
    assert out.startswith("pairs (multiple_choice, n = 4, 0 examples)") and "random                0.5000" in out
    status, out, _ = run(monkeypatch, capsys, *arguments, "--json")
    (scores,) = json.loads(out)
    assert scores["accuracy"]["value"] in (0.0, 1.0) and scores["contamination"] is None


def test_a_mistake_in_a_task_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "task.yaml").write_text(TASK + "metrik: exact\n")
    status, _, error = run(monkeypatch, capsys, "eval", str(folder / "model"), "--task", str(folder / "task.yaml"))
    assert status == 1 and "metrik" in error and "Traceback" not in error
