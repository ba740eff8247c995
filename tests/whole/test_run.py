"""The road from a folder of documents to a chat model, walked whole."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from tiny_run import contents, finish, start, write_tiny

STAGES = ["curate", "tokenizer", "tokens", "pretrain", "sft", "reward", "ppo", "evaluate", "export", "report"]


def groundup(*arguments: str, cwd: Path, typed: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from groundup.cli.main import main; main()", *arguments],
        input=typed,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_stage_is_made_and_the_end_says_where_to_look(finished) -> None:
    for stage in STAGES:
        assert stage in finished.output
    assert "report" in finished.output.splitlines()[-2] + finished.output.splitlines()[-1]
    assert "groundup chat" in finished.output


def test_the_report_holds_the_promised_figures(finished) -> None:
    """The names that others rely on, each with a number."""
    report = json.loads((finished.run / "report" / "report.json").read_text(encoding="utf-8"))
    assert report["sft"]["symbols"] == 24
    assert 0 <= report["sft"]["exact_match"] <= 1
    assert 0 <= report["reward"]["heldout_accuracy"] <= 1
    gain = report["ppo"]["true_score_gain"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert all(report["pretrain"]["bits_per_byte"][name] > 0 for name in ("model", "xz", "ngram"))
    for stage in STAGES[:-1]:
        assert report["seconds"][stage] > 0
        assert report["peak_rss_bytes"][stage] > 1 << 20


def test_the_exported_model_is_the_aligned_one_and_chats(finished) -> None:
    """Transformers loads the export and gives the same logits; the chat answers and owns up to what was not taught."""
    import torch
    from transformers import AutoModelForCausalLM

    from groundup.model.weights import load_model

    theirs = AutoModelForCausalLM.from_pretrained(finished.run / "model").eval()
    ours = load_model(next((finished.run / "artifacts").glob("ppo-*")) / "model").eval()
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids)[0], atol=1e-4, rtol=1e-4)
    status, output = groundup("chat", str(finished.run), cwd=finished.run, typed="What does a zebra do?\n\n")
    assert status == 0
    assert "not taught" in output


def test_a_second_run_does_nothing_and_says_so_at_once(finished) -> None:
    """In processor time, so that a busy machine doesn't decide."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, output = finish(start(finished.blueprint, finished.run))
    assert status == 0
    assert output.startswith("Nothing to do")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 3


def test_the_same_run_elsewhere_gives_the_same_bits(finished, tmp_path: Path) -> None:
    """Nothing in a result depends on the folder, the time or the process. Early stages represent all here: the kill
    test compares the rest."""
    blueprint = write_tiny(tmp_path / "elsewhere")
    for stage in ("curate", "tokenizer", "tokens"):
        status, output = finish(start(blueprint, tmp_path / "run", "--only", stage))
        assert status == 0, output
    mine, theirs = contents(tmp_path / "run"), contents(finished.run)
    assert mine == {stage: theirs[stage] for stage in mine}


def test_dpo_instead_of_ppo_redoes_only_what_follows(finished, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(finished.run, run)
    status, output = finish(start(finished.blueprint, run, "--set", "align=dpo"))
    assert status == 0, output
    assert "dpo" in output
    before, after = contents(finished.run), contents(run)
    assert all(after[stage] == before[stage] for stage in ("curate", "tokenizer", "pretrain", "sft"))
    assert "reward" not in after  # it makes its own pairs
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    assert "true_score_gain" in report["dpo"]


def test_own_examples_pairs_and_questions_are_used(tmp_path: Path) -> None:
    """SFT, preference and evaluation data come from the files that the blueprint names, and the report says so."""
    blueprint = write_tiny(tmp_path / "mine")
    rows = [{"instruction": f"Say {n}", "input": "", "output": f"The number is {n}."} for n in range(24)]
    (blueprint.parent / "sft.json").write_text(json.dumps(rows), encoding="utf-8")
    pairs = [{"prompt": f"Say {n}", "chosen": f"The number is {n}.", "rejected": f"It is {n + 1}"} for n in range(24)]
    (blueprint.parent / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    exam = [{"prompt": "Say 3", "answer": "The number is 3."}]
    (blueprint.parent / "exam.jsonl").write_text("\n".join(map(json.dumps, exam)), encoding="utf-8")
    own = ["sft.data=sft.json", "reward.data=pairs.jsonl", "evaluate.data=exam.jsonl"]
    status, output = finish(start(blueprint, tmp_path / "run", *(part for one in own for part in ("--set", one))))
    assert status == 0, output
    page = (tmp_path / "run" / "report" / "index.html").read_text(encoding="utf-8")
    assert "sft.json" in page and "pairs.jsonl" in page and "exam.jsonl" in page
