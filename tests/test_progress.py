"""What long work shows: rates and times that a person can believe, and nothing for work that is quick."""

import pytest

from groundup import progress
from groundup.progress import Lines, Silent, clock


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock's hand, to be moved by the test."""
    hand = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: hand[0])
    return hand


def test_the_first_unit_does_not_count(at: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """A first step of 50 s before steps of 1 s leaves 8 s for 8 steps, not 400."""
    with Lines(every=1.0).task("train", 10, "steps") as task:
        at[0] += 50
        task.advance()
        at[0] += 1
        task.advance(note="loss 2.5")
    first, second = capsys.readouterr().out.splitlines()
    assert "left" not in first
    assert second.split("  ")[-4:] == [" 20 %", "1 steps/s", "0:08 left", "loss 2.5"]


def test_a_resumed_task_counts_only_its_own_units(at: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(every=0.0).task("train", 100, "steps", done=90) as task:
        for _ in range(3):
            at[0] += 2
            task.advance()
    assert "93 %  0.5 steps/s  0:14 left" in capsys.readouterr().out.splitlines()[-1]


def test_quick_work_and_silence_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (Lines(), Silent()):
        with shown.task("quick", 3) as task:
            task.advance(3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (65, "1:05"), (3665, "1:01:05")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
