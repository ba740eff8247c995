"""`groundup tune`: from pages to lines that a blueprint takes."""

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from groundup.blueprint.load import load
from groundup.cli.main import main

BLUEPRINT = """
name: tuned
curate: {sources: [{kind: files, path: pages}], heldout: 0.1}
tokenizer: {vocabulary: 300}
pretrain:
  {tokens: 8_000, batch_tokens: 512, sequence: 32, learning_rate: 1e-3, precision: fp32,
   model: {layers: 1, width: 32, heads: 2, kv_heads: 1, feed_forward: 64, context: 128}}
"""


def tune(folder: Path, *arguments: str) -> tuple[int, str, str]:
    code = "from groundup.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "tune", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GROUNDUP_THREADS": "1", "GROUNDUP_DEVICE": "cpu"},
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_both_verbs_end_with_lines_for_the_blueprint(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    rng, words = random.Random(7), "river stone garden market music letter window bridge forest silver morning".split()
    for page in range(30):
        drawn = [rng.sample(words, 3) for _ in range(30)]
        said = [
            f"The {one} follows the {two} near the {three} number {rng.randrange(999)}." for one, two, three in drawn
        ]
        (tmp_path / "pages" / f"{page}.md").write_text(f"# Page {page}\n\n" + " ".join(said) + "\n")
    (tmp_path / "tuned.yaml").write_text(BLUEPRINT)

    status, out, errors = tune(tmp_path, "rate", "tuned.yaml", "--steps", "60", "--to", "3")
    assert status == 0, errors
    rate = YAML(typ="safe").load(out.rpartition("In the blueprint:")[2])["pretrain"]["learning_rate"]
    assert 1e-6 < rate < 3
    with (tmp_path / "runs" / "tuned" / "tune" / "rate.csv").open(newline="") as file:
        assert min(abs(float(row["learning_rate"]) / rate - 1) for row in csv.DictReader(file)) < 0.05

    status, out, errors = tune(tmp_path, "batch", "tuned.yaml")
    assert status == 0, errors
    table, _, lines = out.partition("In the blueprint:")
    rows = [line.split() for line in table.splitlines() if line.split() and line.split()[0].isdecimal()]
    rows = [row for row in rows if len(row) >= 3 and row[1].isdecimal()]
    assert [row[0] for row in rows][:3] == ["1", "2", "4"]
    fastest = max(rows, key=lambda row: float(row[2].replace(",", "")))
    found = YAML(typ="safe").load(lines)["pretrain"]
    assert found == {"batch_tokens": 512, "accumulate": int(fastest[1])}
    tuned = load(tmp_path / "tuned.yaml", [f"pretrain.accumulate={found['accumulate']}"])
    assert tuned.blueprint.pretrain.accumulate == found["accumulate"]
    assert not list((tmp_path / "runs" / "tuned" / "artifacts").glob("pretrain-*"))  # nothing was trained for good


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["batch", "--set", "parallel.dp_shard=2"], "parallel: this tries one process"),
        (["rate", "--from", "1", "--to", "0.1"], "can't rise from 1 to 0.1"),
    ],
)
def test_what_can_not_be_tuned_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "tuned.yaml").write_text(BLUEPRINT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["groundup", "tune", arguments[0], "tuned.yaml", *arguments[1:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]
