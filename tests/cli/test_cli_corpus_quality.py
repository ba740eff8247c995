"""`groundup corpus quality`: training and evaluation from files, as a user calls them."""

import json
import random

import pytest
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.errors import GroundupError

runner = CliRunner()


@pytest.fixture
def labelled(tmp_path):
    """200 texts of two kinds, distinguished by one word in ten."""
    chance = random.Random(1)
    common, good, bad = "the of and to in".split(), "theory measured history".split(), "buy cheap offer".split()
    rows = []
    for number in range(200):
        own = good if number % 2 else bad
        words = chance.choices(common, k=40) + chance.choices(own, k=4)
        chance.shuffle(words)
        rows.append({"body": " ".join(words), "quality": "good" if number % 2 else "bad"})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


COLUMNS = ["--text", "body", "--label", "quality"]


def test_train_then_evaluate(tmp_path, labelled):
    """The model is written, measured, read again and measured with a threshold; the figures are there as JSON too."""
    model = tmp_path / "model"
    done = runner.invoke(app, ["corpus", "quality", "train", str(model), "--labelled", str(labelled), *COLUMNS])
    assert done.exit_code == 0, done.output
    assert "held" not in done.stderr
    assert "of them" in done.output
    assert sorted(path.name for path in model.iterdir()) == ["model.safetensors", "quality.json"]
    figures = tmp_path / "figures.json"
    done = runner.invoke(
        app,
        ["corpus", "quality", "evaluate", str(model), "--labelled", str(labelled), *COLUMNS]
        + ["--threshold", ".4", "--json", str(figures)],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(figures.read_text())
    assert (found["documents"], found["good"], found["threshold"]) == (200, 100, 0.4)
    assert f"accuracy          {found['accuracy']['value']:.3f} +- " in done.output
    assert found["auc"]["value"] > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name `labelled` files, or `good` ones"),
        (["--good", "x"], "there is --good without --bad"),
        (["--labelled", "none.jsonl"], r"none\.jsonl: no such file"),
        (["--labelled", "x", "--kind", "forest"], "--kind: Input should be 'linear' or 'fasttext'"),
        (["--labelled", "x", "--heldout", "2"], "--heldout: "),
    ],
)
def test_mistakes_are_reported(tmp_path, arguments, message):
    done = runner.invoke(app, ["corpus", "quality", "train", str(tmp_path / "m"), *arguments])
    assert isinstance(done.exception, GroundupError)
    with pytest.raises(GroundupError, match=message):
        raise done.exception
