"""The race of recipes: every side of the project's trains and is measured, and times are read off the curve rightly."""

import math
from pathlib import Path

import pytest

import tiny
from benchmarks import recipe
from benchmarks.recipe_race import Job, Texts, race
from benchmarks.recipe_sides import Groundup
from groundup.errors import GroundupError
from groundup.shards.token_file import write_tokens


@pytest.fixture
def job(tmp_path: Path) -> Job:
    tokenizer = tiny.tokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    for split, text in (("train", "the other thing in the house " * 200), ("heldout", "another thing in there " * 200)):
        write_tokens(tmp_path, split, tokenizer, [text])
    return Job(str(tmp_path), str(tmp_path / "tokenizer.json"), 1e9, "cpu", "fp32", compiled=False, check=True)


def test_a_side_starts_again_after_its_warm_up(job: Job) -> None:
    """With the weights that it had, and an optimizer that has seen nothing."""
    side, texts = Groundup(recipe.RECIPES["fast"], job), Texts(job)
    before = texts.validation.bits(side)
    side.step(texts.batch(0, side.rows), 0, 0.5)
    assert texts.validation.bits(side) != before
    side.restart()
    assert texts.validation.bits(side) == before
    assert not side.engine.optimizer.state


def test_bits_per_byte_are_those_of_the_targets_bytes(job: Job) -> None:
    """A side whose every token takes one nat."""
    texts = Texts(job)

    class One(Groundup):
        def nats(self, rows_BT1: object) -> float:
            return float(texts.test.rows[:, 1:].numel())

    tokenizer = tiny.tokenizer()
    text = b"".join(tokenizer.token_bytes(token) for row in texts.test.rows[:, 1:].tolist() for token in row)
    nats = texts.test.rows[:, 1:].numel()
    assert texts.test.bits(One(recipe.RECIPES["plain"], job)) == pytest.approx(nats / math.log(2) / len(text))


def test_a_race_returns_looks_and_a_test_figure(job: Job) -> None:
    found = race(Groundup(recipe.RECIPES["portable"], job), job)
    assert found["steps"] == 2 and found["tokens"] == 2 * 2048 and found["seconds"] > 0
    assert 0 < found["test"] < 8 and found["looks"][-1][0] == found["seconds"]


def test_the_time_of_a_value_lies_between_two_looks() -> None:
    looks = [(10.0, 3.0), (20.0, 2.0), (30.0, 1.8)]
    assert recipe._reached(looks, 2.5) == pytest.approx(15)
    assert recipe._reached(looks, 1.9) == pytest.approx(25)
    assert recipe._reached(looks, 1.7) is None


def test_an_unknown_side_is_refused(job: Job) -> None:
    with pytest.raises(GroundupError, match="no side 'slow'"):
        recipe._raced("slow", job, None)


@pytest.mark.parametrize("side", sorted({*recipe.PARTS} - {*recipe.RECIPES}))
def test_every_part_is_a_recipe_of_its_own(side: str, job: Job) -> None:
    """That the project's own configurations accept, and which is another than the one it was taken from."""
    name, _, changes = side.partition(":")
    whole, changed = recipe.RECIPES[name], recipe.RECIPES[name].changed(changes.split())
    assert changed != whole and recipe.RECIPES[name] == whole
    side_of = Groundup(changed, job)
    assert side_of.config.learning_rate and side_of.parameters > 0
