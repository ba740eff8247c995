"""The benchmark of sums: its splits have no sum in common, and its toy size trains and measures both methods."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import arithmetic
from benchmarks.measure import Measurement


def test_a_sum_is_of_one_split() -> None:
    drawn = {split: set(arithmetic.sums(split, 2000, 0)) for split in ("train", "tune", "test")}
    assert not drawn["train"] & drawn["tune"] and not drawn["train"] & drawn["test"]
    assert not drawn["tune"] & drawn["test"]
    assert arithmetic.sums("tune", 50, 0) == arithmetic.sums("tune", 50, 0) != arithmetic.sums("tune", 50, 1)
    assert {len(str(number)) for one in drawn["train"] for number in one} == {2, 3}


def test_questions_and_answers() -> None:
    one = (45, 968)
    assert (arithmetic.question(one), arithmetic.answer(one)) == ("045+968=", "3101")
    words = arithmetic.tokenizer()
    assert len(words.encode(arithmetic.question(one))) == 8 and len(words.encode(arithmetic.answer(one))) == 4


def test_the_toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, in this process; untrained models get no sum right."""

    def here(function: Callable[..., Any], *arguments: Any, cores: int = 1) -> Measurement:
        return Measurement(function(*arguments), 1)

    monkeypatch.setattr(arithmetic, "in_process", here)
    rows = list(arithmetic.run(None, check=True))
    assert {row.case for row in rows} == {"grpo, 1 seeds", "ppo, 1 seeds"}
    metrics = [row.metric for row in rows]
    assert metrics.count("sampled pass@1") == metrics.count("CPU seconds") == 2
    assert not any(row.failure for row in rows)
    assert all(0 <= row.ours <= 1 for row in rows if "greedy" in row.metric or "pass" in row.metric)


def test_fine_tuning_ends_where_enough_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(arithmetic, "ENOUGH", 0.0)
    monkeypatch.setattr(arithmetic, "LOOK_EVERY", 2)
    monkeypatch.setattr(arithmetic, "LOOKED_AT", 4)
    job = arithmetic.ArithmeticJob(
        seed=0, steps=40, batch=4, iterations=1, rollouts=8, measured=4, folder=str(tmp_path)
    )
    assert arithmetic.fine_tuned(asdict(job))["steps"] == 2
