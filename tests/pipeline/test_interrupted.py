"""How far a stage came is read from the files that a kill leaves."""

from pathlib import Path

import pytest

from groundup.artifacts import MetricsLog
from groundup.corpus.finished import run_or_reuse
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.pipeline.interrupted import Interrupted, ending, interrupted
from groundup.pipeline.runs import runs_below

KEY, EXPECTED = "1f2e3d4c5b6a" + 52 * "0", {"steps": 98.0}


def steps_taken(kept: Path, steps: int, **columns: float) -> None:
    log = MetricsLog(kept / "metrics.jsonl")
    for step in range(1, steps + 1):
        log.write(step, loss=8.0, **columns)
    log.close()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """What a training stage left after thirty steps: the last row was cut short, and so was the last checkpoint."""
    folder = tmp_path / "pretrain-1f2e3d4c5b6a.keep"
    steps_taken(folder, 30, tokens=512.0)
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 31, "loss"')
    for name in ("checkpoint-000000010", "checkpoint-000000020", ".checkpoint"):
        (folder / name).mkdir()
    return folder


def test_steps_tokens_and_checkpoints_are_read(kept: Path, tmp_path: Path) -> None:
    assert interrupted(kept) == Interrupted(step=30, tokens=15_360, resumes_after=20)
    assert interrupted(tmp_path / "absent") is None
    (tmp_path / "empty").mkdir()
    assert interrupted(tmp_path / "empty") == Interrupted()
    pairs = tmp_path / "reward.keep"
    steps_taken(pairs, 3, pairs=16.0)
    assert interrupted(pairs) == Interrupted(step=3)


def test_partitions_of_the_corpus_are_counted(tmp_path: Path) -> None:
    """One that a kill left half made does not count."""
    for phase, number in (("read", 0), ("read", 1), ("kept", 0)):
        run_or_reuse(tmp_path / phase, number, lambda folder: {"documents": len(str(folder))})
    (tmp_path / "kept" / ".making-00001-ab").mkdir()
    found = interrupted(tmp_path)
    assert found == Interrupted(parts=3)
    assert found.reached() == "with 3 partitions finished, which are used again"


@pytest.mark.parametrize(
    ("found", "steps", "sentence"),
    [
        (Interrupted(30, 15_360, 20), 98, "at step 30 of 98, 15,360 tokens; resumes after step 20"),
        (Interrupted(3), 0, "at step 3; begins again"),
        (Interrupted(3), 2, "at step 3; begins again"),  # more steps than were planned: the plan was wrong
        (Interrupted(resumes_after=20), 98, "at step 20 of 98; resumes after step 20"),
        (Interrupted(), 98, ""),
    ],
)
def test_the_sentence_says_what_is_known(found: Interrupted, steps: float, sentence: str) -> None:
    assert found.reached(steps) == sentence


def test_how_it_ended_is_in_the_newest_event_of_this_very_stage() -> None:
    found = Interrupted(30, None, 20)
    begun = {"event": "started", "stage": "pretrain", "key": KEY, "expected": EXPECTED}
    failed = {"event": "failed", "stage": "pretrain", "error": "the disk\nis full"}
    other = {"event": "started", "stage": "pretrain", "key": "another", "expected": {"steps": 31}}
    where = "at step 30 of 98; resumes after step 20"
    assert ending([begun], "pretrain", KEY, found) == f"was killed {where}"
    assert ending([begun, failed], "pretrain", KEY, found) == f"failed {where} (the disk is full)"
    assert ending([begun, failed, begun], "pretrain", KEY, found) == f"was killed {where}"
    assert ending([begun, other, failed], "pretrain", KEY, found) == f"was killed {where}"
    assert ending([begun, {**failed, "stage": "sft"}], "pretrain", KEY, found) == f"was killed {where}"
    assert ending([], "pretrain", KEY, found) == "was not finished at step 30; resumes after step 20"


def test_runs_lists_where_a_killed_run_was(kept: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "mine")
    building = run.store.kept_under("pretrain", KEY)
    building.parent.mkdir(parents=True)
    kept.rename(building)
    run.event("started", "pretrain", key=KEY, expected=EXPECTED)
    run.remember(Remembered("mine.yaml"))
    [listed] = runs_below(tmp_path)
    assert listed.state == "interrupted at pretrain, at step 30 of 98, 15,360 tokens"
