"""`groundup corpus what-if`: a table of what other thresholds would do to a finished run, and the same as JSON."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.artifacts import Measured
from groundup.blueprint.load import load
from groundup.cli.corpus import amount, threshold
from groundup.cli.main import main
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import Document, document_id
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.pipeline.graph import stages
from groundup.pipeline.status import survey

BLUEPRINT = "name: mine\ncurate:\n  sources: [{kind: files, path: docs}]\n"
TEXTS = {
    "[Seven]": "A page of seven words, more or less.",
    "Ten": "Another page that has ten words in it, not one more.",
    "Short": "Too short.",
    "Repeated": "say it again and " * 20,
}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls `groundup corpus what-if` on a run of which `curate` is done."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("words")
    (tmp_path / "mine.yaml").write_text(BLUEPRINT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    loaded, folder = load(tmp_path / "mine.yaml"), RunFolder(Path("runs/mine"))
    key = survey(loaded, folder, stages(loaded.blueprint))[0].key
    assert key is not None
    out, _ = folder.store.begin(key)
    found = [Document(document_id(text), text, title, "docs", f"{title}.md") for title, text in TEXTS.items()]
    curate([Given(tuple(found), "docs")], loaded.blueprint.curate, out, tmp_path / "aside", tmp_path)
    artifact = folder.store.publish(key, {"documents": 2}, Measured(1.0, 1 << 20), {})
    folder.remember(Remembered(str(tmp_path / "mine.yaml"), [], {"curate": artifact.path.name}))

    def called(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groundup", "corpus", "what-if", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, errors = capsys.readouterr()
        return int(ended.value.code or 0), out, errors

    return called


def line_of(out: str, rule: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.startswith(f"{rule} "))


def test_a_change_is_shown_with_samples(call: Call, tmp_path: Path) -> None:
    status, out, _ = call("--set", "min_words=9", "--set", "max_top_trigram=null", "--json", "answer.json")
    assert status == 0
    assert out.startswith("runs/mine, 2 documents kept\n")
    assert line_of(out, "min_words") == "min_words 5 9 1 · 2 2 · 10 1 · 8 0".split()
    assert line_of(out, "max_top_trigram") == "max_top_trigram 0.3 - 1 · 80 0 0 1 · 80".split()
    assert line_of(out, "max_words") == "max_words 100,000 = 0 0 0 0".split()
    assert "max_top_bigram" not in out
    assert "kept: 2 documents, 19 words -> at most 2, 91" in out
    assert (
        "would be dropped by min_words (1 of 1): fewer than 9 words\n  [Seven] docs: [Seven].md  8 against 9\n" in out
    )
    assert "    A page of seven words, more or less.\n" in out
    assert (
        "now dropped by max_top_trigram (1 of 1): more than 0.3 of its characters in one phrase of three words" in out
    )
    answer = json.loads((tmp_path / "answer.json").read_text())
    by_rule = {change["rule"]: change for change in answer["changes"]}
    assert by_rule["min_words"]["newly_dropped"] == {"documents": 1, "tokens": 8.0}
    assert by_rule["min_words"]["samples_dropped"][0]["excerpt"] == TEXTS["[Seven]"]
    assert answer["kept_then"] == {"documents": 2, "tokens": 91.0}


def test_without_a_change_it_shows_the_rules_as_they_are(call: Call) -> None:
    status, out, _ = call()
    assert status == 0
    assert line_of(out, "min_words") == "min_words 5 = 1 · 2 1 · 2 0 0".split()
    assert "kept: 2 documents, 19 words -> 2, 19" in out
    assert "would be" not in out


def test_presets(call: Call) -> None:
    out = call("--preset", "gopher", "--samples", "0")[1]
    assert line_of(out, "min_words")[:3] == ["min_words", "5", "50"]
    assert line_of(out, "max_duplicate_10grams")[:3] == ["max_duplicate_10grams", "-", "0.1"]
    assert "would be" not in out


def test_a_mistake_is_one_line(call: Call) -> None:
    status, out, errors = call("--set", "min_word=9")
    assert (status, out) == (1, "")
    assert errors == "groundup: --set min_word=9: there is no rule min_word; did you mean min_words?\n"


def test_figures_are_short() -> None:
    assert [amount(number) for number in (0, 999, 12_345, 1_234_567, 2e9)] == ["0", "999", "12.3k", "1.23M", "2B"]
    assert [threshold(value) for value in ("en", 5, 0.123456, 100_000)] == ["en", "5", "0.123", "100,000"]
