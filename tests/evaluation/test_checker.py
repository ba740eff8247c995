"""Marks against closed forms, and intervals that hold the truth as often as they say."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.evaluation.checker import bootstrap, exact, token_f1

words = st.lists(st.sampled_from(["a", "b", "c", "."]), max_size=8)


@pytest.mark.parametrize(
    ("answer", "truth", "f1"),
    [
        ("Join two paths.", "Join two paths.", 1.0),
        ("join TWO paths.", "Join two paths.", 1.0),
        ("two paths Join.", "Join two paths.", 1.0),  # in any order
        ("Join paths", "Join two paths.", 2 * 1.0 * 0.5 / 1.5),
        ("Join two paths. Join two paths.", "Join two paths.", 2 * 0.5 * 1.0 / 1.5),
        ("join join join", "join", 0.5),
        ("os.path", "os.path", 1.0),
        ("something else", "Join two paths.", 0.0),
        ("", "Join", 0.0),
        ("Join", "", 0.0),
        ("", "", 1.0),
        (" \n", "", 1.0),
    ],
)
def test_token_f1(answer: str, truth: str, f1: float) -> None:
    assert token_f1(answer, truth) == pytest.approx(f1)


@given(words, words)
def test_token_f1_against_its_other_form(answer: list[str], truth: list[str]) -> None:
    """2 x shared / (words of both): the harmonic mean multiplied out."""
    shared = sum(min(answer.count(word), truth.count(word)) for word in Counter(truth))
    expected = 2 * shared / (len(answer) + len(truth)) if answer or truth else 1.0
    assert token_f1(" ".join(answer), " ".join(truth)) == pytest.approx(expected)
    assert token_f1(" ".join(truth), " ".join(answer)) == pytest.approx(expected)


def test_exact() -> None:
    assert exact(" Join.\n", "Join.")
    assert not exact("join.", "Join.")
    assert not exact("Join", "Join.")


def test_bootstrap_of_independent_differences_is_the_normal_interval() -> None:
    """With as many groups as values, mean +- 1.96 standard errors."""
    values = np.random.default_rng(0).normal(0.3, 1.0, 400)
    found = bootstrap(values.tolist(), [str(index) for index in range(400)], 4000, seed=1)
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_values_of_one_group_count_as_one() -> None:
    """Each value eight times over adds nothing new; taken as independent they would narrow the interval by sqrt 8."""
    values = np.random.default_rng(0).normal(0.3, 1.0, 100)
    names = [str(index) for index in range(100)]
    once = bootstrap(values.tolist(), names, 3000, seed=1)
    often = bootstrap(np.repeat(values, 8).tolist(), np.repeat(names, 8).tolist(), 3000, seed=1)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_groups_weigh_by_their_size() -> None:
    """Four groups of one value 0, one of nine values 1, drawn k times in five: the mean is 9 k / (8 k + 5).

    k is binomial with p 1/5: P(k <= 2) = .942 and P(k <= 3) = .993, so the 97.5th percentile is at k = 3.
    """
    found = bootstrap([0.0] * 4 + [1.0] * 9, ["a", "b", "c", "d", *["e"] * 9], 3000, seed=0)
    assert (found.mean, found.low, found.high) == pytest.approx((9 / 13, 0.0, 27 / 29))
    assert bootstrap([0.5, 0.5], ["a", "a"], 100, seed=0).low == 0.5


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Nineteen times in twenty, where the answers to the questions about one subject go together."""
    rng, held = np.random.default_rng(3), 0
    for trial in range(300):
        subjects = rng.normal(0.1, 1.0, 80)
        values = np.repeat(subjects, 3) + rng.normal(0, 0.5, 240)
        found = bootstrap(values.tolist(), [str(index // 3) for index in range(240)], 500, seed=trial)
        held += found.low <= 0.1 <= found.high
    assert 0.90 < held / 300 < 0.985


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, 40).tolist()
    first, again, other = (bootstrap(values, [str(v) for v in values], 200, seed) for seed in (5, 5, 6))
    assert first == again != other
