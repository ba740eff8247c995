"""Runs next to each other: what differs in their blueprints, and whether a difference of scores is clear of chance."""

import json
import shutil
from pathlib import Path

import lxml.html
import numpy as np
import pytest
from fake_run import FakeRun
from typer.testing import CliRunner

from groundup.cli.main import app
from groundup.errors import GroundupError
from groundup.evaluation.checker import Interval
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.runs import artifacts_of, runs_below
from groundup.report.run import as_executed
from groundup.report.runs_compared import compare_runs
from groundup.report.runs_compared_page import comparison_page


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run, and a copy whose every fourth right answer is wrong, with another learning rate and its files sealed."""
    base = tmp_path_factory.mktemp("two")
    first = FakeRun(base).folder
    second = first.parent / "worse"
    shutil.copytree(first, second)
    for folder in (first, second):
        names = {path.name.rpartition("-")[0]: path.name for path in (folder / "artifacts").glob("*-*")}
        run = RunFolder(folder)
        remembered = run.remembered()
        remembered.stages = names
        if folder == second:
            remembered.overrides = [*remembered.overrides, "pretrain.learning_rate=1e-3"]
            path = next((folder / "artifacts").glob("evaluate-*")) / "answers.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for row in rows[::4]:
                row.update(exact=False, f1=0.0, answer="No idea.")
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        run.remember(remembered)
    return first, second


def opened(folder: Path):
    return as_executed(folder, artifacts_of(RunFolder(folder)))


@pytest.fixture(scope="module")
def found(two):
    return compare_runs([opened(folder) for folder in two])


def test_what_was_written_comes_before_what_follows(found) -> None:
    written = [one for one in found.blueprint if not one.derived]
    assert [(one.path, one.values) for one in written] == [("pretrain.learning_rate", (5e-3, 1e-3))]
    derived = {one.path for one in found.blueprint if one.derived}
    assert {"grpo.learning_rate", "dpo.learning_rate"} <= derived


def test_a_run_compared_with_itself_differs_in_nothing(two) -> None:
    same = compare_runs([opened(two[0])] * 2)
    assert same.blueprint == ()
    for score in same.scores:
        assert score.values[0] == score.values[1]
        assert score.differences in ((None,), (Interval(0.0, 0.0, 0.0),))


def test_the_intervals_of_paired_questions_are_those_of_the_sandwich_estimator(two, found) -> None:
    """Standard errors clustered by true answer (Liang and Zeger 1986), computed here from the rows themselves."""
    score = next(one for one in found.scores if one.what == "exact match, unseen questions" and one.model == "last")
    rows = [
        {one["question"]: one for one in opened(folder).answers if one["model"] == "ppo" and one["set"] == "unseen"}
        for folder in two
    ]
    gains = {question: float(rows[1][question]["exact"]) - float(row["exact"]) for question, row in rows[0].items()}
    mean = np.mean(list(gains.values()))
    by_truth: dict[str, float] = {}
    for question, gain in gains.items():
        truth = rows[0][question]["truth"]
        by_truth[truth] = by_truth.get(truth, 0.0) + gain - mean
    half = 1.96 * np.sqrt(sum(one**2 for one in by_truth.values())) / len(gains)
    between = score.differences[0]
    assert between is not None and between.high < 0 and score.paired == (len(gains),)
    assert between.mean == pytest.approx(mean) == pytest.approx(score.values[1] - score.values[0])
    assert (between.high - between.low) / 2 == pytest.approx(half, rel=0.15)


def test_sets_with_no_common_question_are_drawn_on_their_own(two) -> None:
    """The interval is that of Welch's test on independent means, within a tenth."""
    from groundup.report.runs_compared import _compared

    random = np.random.default_rng(0)
    sides = [
        {f"{side} {at}": {"f1": value, "truth": f"{side} {at}"} for at, value in enumerate(random.random(400) * scale)}
        for side, scale in (("a", 1.0), ("b", 0.8))
    ]
    score = _compared("token F1", "last", sides, "f1", seed=1)
    values = [np.array([row["f1"] for row in side.values()]) for side in sides]
    spread = 1.96 * np.sqrt(sum(one.var(ddof=1) / len(one) for one in values))
    between = score.differences[0]
    assert score.paired == (0,) and between is not None
    assert between.mean == pytest.approx(values[1].mean() - values[0].mean())
    assert between.high - between.mean == pytest.approx(spread, rel=0.1)
    assert between.mean - between.low == pytest.approx(spread, rel=0.1)


def test_the_page_has_its_sections_and_draws_every_run(found) -> None:
    tree = lxml.html.fromstring(comparison_page(found))
    assert [one.get("id") for one in tree.iter("section")][:5] == ["blueprints", "scores", "curves", "cost", "samples"]
    labels = [one.get("aria-label") for one in tree.iter("svg") if one.get("aria-label")]
    assert "Validation loss of python-docs and worse." in labels
    assert "No idea." in tree.text_content()


def test_the_verbs(two, monkeypatch) -> None:
    base = two[0].parent.parent
    (base / "runs" / "half" / "artifacts").mkdir(parents=True)
    for name in ("blueprint.yaml", "blueprint.source.yaml"):
        shutil.copy(two[0] / name, base / "runs" / "half" / name)
    half = RunFolder(base / "runs" / "half")
    half.remember(opened_remembered(two[0]))
    half.event("started", "curate")
    half.event("failed", "curate", seconds=1.0, error="no")
    listed = {one.path.name: one for one in runs_below(base)}
    assert {name: one.state for name, one in listed.items()} == {
        "python-docs": "interrupted at export", "worse": "interrupted at export", "half": "failed at curate"
    }  # fmt: skip
    assert listed["python-docs"].parameters == 4_000_000 and listed["half"].parameters is None
    monkeypatch.chdir(base)
    shown = CliRunner().invoke(app, ["runs"])
    assert shown.exit_code == 0 and "failed at curate" in shown.output
    assert len(json.loads(CliRunner().invoke(app, ["runs", "--json"]).output)) == 3
    shown = CliRunner().invoke(app, ["compare", "runs/python-docs", "runs/worse"])
    assert shown.exit_code == 0, shown.output
    assert "pretrain.learning_rate  0.005" in shown.output and " *" in shown.output
    assert (base / "runs" / "comparisons" / "python-docs-worse.html").is_file()
    written = json.loads(CliRunner().invoke(app, ["compare", "runs/python-docs", "runs/worse", "--json"]).output)
    assert written["names"] == ["python-docs", "worse"]
    unfinished = CliRunner().invoke(app, ["compare", "runs/python-docs", "runs/half"])
    assert unfinished.exit_code == 0, unfinished.output
    neither = CliRunner().invoke(app, ["compare", "runs/half", "runs/half"])
    assert neither.exit_code == 0, neither.output
    refused = CliRunner().invoke(app, ["compare", "runs/worse"])
    assert isinstance(refused.exception, GroundupError)


def opened_remembered(folder: Path):
    remembered = RunFolder(folder).remembered()
    remembered.stages = {}
    return remembered
