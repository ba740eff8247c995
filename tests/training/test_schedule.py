"""The learning rate at the corners."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.training.configuration import ScheduleConfig
from groundup.training.schedule import learning_rate


def curve(steps: int, peak: float = 1.0, **settings: object) -> list[float]:
    config = ScheduleConfig.model_validate(settings)
    return [learning_rate(step, steps, peak, config) for step in range(steps)]


def test_a_hundred_steps_of_cosine() -> None:
    rates = curve(100, 2.0, warmup=0.1, final_learning_rate=0.25)
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])  # the first step learns already
    assert rates[9] == rates[10] == 2.0
    falling = [2.0 * (0.25 + 0.75 * 0.5 * (1 + math.cos(math.pi * k / 90))) for k in range(90)]
    assert rates[10:] == pytest.approx(falling)


def test_a_hundred_steps_of_the_others() -> None:
    rising = [0.1 * (step + 1) for step in range(10)]
    linear = curve(100, warmup=0.1, schedule="linear", final_learning_rate=0.1)
    assert linear == pytest.approx(rising + [1 - 0.9 * k / 90 for k in range(90)])
    wsd = curve(100, warmup=0.1, schedule="wsd", decay=0.3)
    assert wsd == pytest.approx(rising + [1.0] * 60 + [1 - k / 30 for k in range(30)])
    assert curve(100, warmup=0.1, schedule="constant") == pytest.approx(rising + [1.0] * 90)


@given(
    steps=st.integers(1, 60),
    warmup=st.floats(0, 1),
    final=st.floats(0, 1),
    peak=st.floats(1e-6, 10),
    schedule=st.sampled_from(["cosine", "linear", "wsd", "constant"]),
    decay=st.floats(0.01, 1),
)
def test_it_rises_then_falls(steps: int, warmup: float, final: float, peak: float, schedule: str, decay: float) -> None:
    rates = curve(steps, peak, warmup=warmup, final_learning_rate=final, schedule=schedule, decay=decay)
    top = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert max(rates) == pytest.approx(peak)
    assert min(rates) > 0  # no step is wasted


@pytest.mark.parametrize(
    ("steps", "warmup", "expected"),
    [
        (1, 0.0, [1.0]),
        (1, 0.5, [1.0]),
        (1, 1.0, [1.0]),
        (2, 0.0, [1.0, 0.55]),
        (2, 1.0, [0.5, 1.0]),
        (3, 0.0, [1.0, 0.775, 0.325]),
        (4, 1.0, [0.25, 0.5, 0.75, 1.0]),
        (4, 0.25, [1.0, 1.0, 0.775, 0.325]),
    ],
)
def test_corners(steps: int, warmup: float, expected: list[float]) -> None:
    assert curve(steps, warmup=warmup, final_learning_rate=0.1) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "steps", "warmup", "expected"),
    [
        ("linear", 1, 0.0, [1.0]),
        ("linear", 1, 1.0, [1.0]),
        ("linear", 2, 0.0, [1.0, 0.55]),
        ("linear", 4, 0.25, [1.0, 1.0, 0.7, 0.4]),
        ("wsd", 1, 0.5, [1.0]),
        ("wsd", 4, 0.25, [1.0, 1.0, 1.0, 0.55]),
        ("wsd", 4, 1.0, [0.25, 0.5, 0.75, 1.0]),  # no step is left to fall in
        ("wsd", 4, 0.75, [1 / 3, 2 / 3, 1.0, 1.0]),  # one step is, of the two it would take
        ("constant", 1, 0.0, [1.0]),
        ("constant", 4, 0.5, [0.5, 1.0, 1.0, 1.0]),
    ],
)
def test_corners_of_the_others(schedule: str, steps: int, warmup: float, expected: list[float]) -> None:
    """The first step, the last of the rise, the first of the fall, the last; `wsd` falls over the last half."""
    found = curve(steps, warmup=warmup, schedule=schedule, decay=0.5, final_learning_rate=0.1)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.25, 1.0])
def test_it_stays_at_its_end(schedule: str, warmup: float) -> None:
    """Beyond the planned steps a cosine would rise again, and a line would fall below zero."""
    config = ScheduleConfig.model_validate({"schedule": schedule, "warmup": warmup, "final_learning_rate": 0.1})
    end = 2.0 if schedule == "constant" else pytest.approx(0.2)
    assert [learning_rate(step, 8, 2.0, config) for step in (8, 9, 15, 16, 1000)] == [end] * 5
