"""`report.json` holds what is promised, and reports are made of whatever a run has."""

import json
from collections import Counter

import pytest
from fake_run import FakeRun

from groundup.artifacts import Work
from groundup.report.configuration import ReportConfig
from groundup.report.figures import taught_by_origin
from groundup.report.run import read_run
from groundup.report.stage import stage

STAGES = ["curate", "tokenizer", "tokens", "pretrain", "sft", "reward", "ppo", "evaluate", "export"]


def made(run, folder):
    out = folder / "out"
    out.mkdir()
    figures = stage(ReportConfig(), run.artifacts, Work(out, out, 1, base=run.base, run=run.folder))
    return json.loads((out / "report.json").read_text()), (out / "index.html").read_text(), figures


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return FakeRun(tmp_path_factory.mktemp("figures"))


def test_promised_figures(full, tmp_path):
    """Each figure that the project promises is there and is the one that its stage measured."""
    found, html, figures = made(full, tmp_path)
    evaluation = full.artifacts["evaluate"].figures
    assert found["sft"]["symbols"] == len(full.items)
    assert found["sft"]["exact_match"] == evaluation["answers"]["sft"]["taught"]["exact_match"]
    assert found["sft"]["exact_match_set"] == "taught"
    assert found["reward"]["heldout_accuracy"] == 0.962
    assert found["ppo"]["true_score_gain"] == {"mean": 0.0131, "low": 0.0042, "high": 0.0218}
    assert found["pretrain"]["bits_per_byte"].items() >= {"model": 2.037, "xz": 3.104, "xz_primed": 2.41}.items()
    assert found["pretrain"]["bits_per_byte"]["ngram"] == 2.355
    assert list(found["seconds"]) == list(found["peak_rss_bytes"]) == STAGES
    assert found["seconds"]["sft"] == 241.0 and found["peak_rss_bytes"]["sft"] == 903 << 20
    assert found["predicted"]["sft"]["seconds"] == pytest.approx(0.9 * 241.0)
    assert found["artifacts"]["sft"]["inputs"]["pretrain"] == full.artifacts["pretrain"].manifest.content
    assert figures["bytes"] == len(html.encode())


def test_taught_subjects_by_origin(full, tmp_path):
    """Subjects and exact answers per source and licence, counted again by hand from the answers."""
    run = read_run(full.folder, full.artifacts)
    licences = {document.id: document.licence for document in full.kept}
    right = {row["question"]: row["exact"] for row in run.answers if row["model"] == "sft" and row["set"] == "taught"}
    subjects = Counter(licences[item.document] for item in full.items)
    exact = Counter(licences[item.document] for item in full.items if right[item.plain_question])
    found = taught_by_origin(run)
    assert {one["licence"]: (one["subjects"], one["exact"]) for one in found} == {
        licence: (number, exact[licence]) for licence, number in subjects.items()
    }
    assert found[0]["subjects"] == max(subjects.values())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"align": "dpo"}, [": the pairs themselves", "Gain of DPO over SFT"]),
        ({"heldout": 0.0}, ["There are none, so nothing below is measured", "so this could not be measured"]),
        ({"own_data": True}, ["questions.jsonl", "pairs.jsonl", "There was nothing to ask"]),
        ({"align": "dpo", "heldout": 0.0, "own_data": True}, [": the pairs themselves", "There was nothing to ask"]),
        *(({"until": name}, []) for name in ("curate", "pretrain", "sft", "ppo")),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_parts_may_be_missing(options, expected, tmp_path):
    """Without held-out documents, without questions, with DPO, and cut short after some stage: a report that says so,
    with no Python word for nothing in it."""
    run = FakeRun(tmp_path, **options)
    found, html, _ = made(run, tmp_path)
    for sentence in expected:
        assert sentence in html, sentence
    for nothing in (">None<", " None ", ">nan", "nan ", "NaN", "{", "True"):
        assert nothing not in html.replace("None of ", "").split("<main>")[1].split("The file as it was written")[0]
    assert list(found["seconds"]) == list(run.artifacts)
    assert ("ppo" in found, "dpo" in found) == ("ppo" in run.artifacts, "dpo" in run.artifacts)


def test_own_questions_are_named(tmp_path):
    """Where the evaluation asked the user's own questions, `exact_match` is theirs and says so."""
    run = FakeRun(tmp_path)
    figures = run.artifacts["evaluate"].figures
    figures["answers"] = {model: {"given": sets["unseen"]} for model, sets in figures["answers"].items()}
    figures["true_score_set"] = "given"
    found, html, _ = made(run, tmp_path)
    assert found["sft"]["exact_match_set"] == "given"
    assert "of your own questions to the letter" in html and "in a phrasing of its training" not in html
