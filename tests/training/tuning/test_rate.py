"""The suggested rate against a sweep, and the test's ends."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import DivergedError, StepResult
from groundup.parallel.single_device import SingleDevice
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.training.configuration import LoopConfig, OptimizerConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import Pretraining
from groundup.training.schedule import learning_rate
from groundup.training.tuning.rate import _suggested, plot, range_test, write_csv

WORDS = "the a model reads text and learns to write what comes next of every word in it as well as it can".split()


def text(words: int, seed: int) -> list[int]:
    """Sentences of a small grammar, as bytes: every word is followed by one of four."""
    drawn = torch.randint(4, (words,), generator=torch.Generator().manual_seed(seed)).tolist()
    at, said = 0, []
    for choice in drawn:
        at = (3 * at + 5 * choice + 1) % len(WORDS)
        said.append(WORDS[at])
    return list(" ".join(said).encode())


def begin(optimizer: str) -> tuple[SingleDevice, Pretraining]:
    config = LLMConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
    )
    maker = make_optimizer(OptimizerConfig.model_validate({"name": optimizer}))
    engine = SingleDevice(CustomLanguageModel(config, seed=1), maker, torch.device("cpu"), "fp32")
    train, heldout = (TokenShard.of([text(words, seed)]) for words, seed in ((8000, 0), (400, 1)))
    return engine, Pretraining(SampleStream(train, 32, 3), Windows(heldout, 32), batch_tokens=256, accumulate=1)


def heldout_loss(optimizer: str, rate: float, steps: int = 200) -> float:
    engine, made = begin(optimizer)
    config = LoopConfig(warmup=0.05)
    for step in range(steps):
        batches = made.batches(step)
        weights = [made.weight(batch) for batch in batches]
        engine.train_step(batches, weights, made.loss, learning_rate(step, steps, rate, config), 1.0)
    return made.validate(engine)["heldout_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_suggested_rate_is_near_the_best_of_a_sweep(optimizer: str) -> None:
    """The valley is flat, so: within a factor of ten, and with it the loss falls nine tenths as far."""
    engine, made = begin(optimizer)
    found = range_test(engine, made)
    assert found.blew_up
    sweep = {rate: heldout_loss(optimizer, rate) for rate in (1e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)}
    best = min(sweep, key=lambda rate: sweep[rate])
    assert best / 10 <= found.suggested <= 10 * best, (found.suggested, sweep)
    begun = math.log(128)
    assert begun - heldout_loss(optimizer, found.suggested) > 0.9 * (begun - sweep[best])


class Bowl:
    """A loss that a rate changes by a formula, without a model to speak of."""

    unit = "tokens"

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[int]:
        return [step]

    def weight(self, batch: Any) -> float:
        return 1.0

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        raise AssertionError

    def validate(self, engine: Any) -> dict[str, float]:
        return {}


class Formula:
    """An engine whose loss is `of(rate)`."""

    data_rank = SINGLE

    def __init__(self, of: Any) -> None:
        self.of, self.rates = of, list[float]()

    def train_step(
        self, batch: Sequence[Any], weights: Any, loss: Any, rate: float, clip: float, where: str = ""
    ) -> StepResult:
        self.rates.append(rate)
        value = self.of(rate)
        if not math.isfinite(value):
            raise DivergedError("gone")
        return StepResult(value, 1.0, {})


def valley(rate: float) -> float:
    """From 4 down to 2, four fifths of it at 1e-3, and a wall from 1 on."""
    return 2 + 2 / (1 + 4 * (rate / 1e-3) ** 2) + (100 * rate if rate > 1 else 0)


def test_it_stops_where_the_loss_blows_up() -> None:
    engine = Formula(valley)
    found = range_test(engine, Bowl(), steps=200)  # type: ignore[arg-type]
    assert found.blew_up and 1 < found.rates[-1] < 2
    assert found.suggested == pytest.approx(1e-3, rel=0.15)
    steps = [math.log(b / a) for a, b in zip(engine.rates, engine.rates[1:], strict=False)]
    assert steps == pytest.approx([math.log(1e7) / 199] * len(steps))


def test_a_loss_that_is_no_number_ends_it_too() -> None:
    found = range_test(Formula(lambda rate: valley(rate) if rate < 0.5 else math.nan), Bowl())  # type: ignore[arg-type]
    assert found.blew_up and found.rates[-1] < 0.5 and found.suggested == pytest.approx(1e-3, rel=0.15)


def test_the_highest_rate_may_do_no_harm() -> None:
    found = range_test(Formula(valley), Bowl(), highest=0.1, steps=60)  # type: ignore[arg-type]
    assert not found.blew_up and len(found.rates) == 60 and found.rates[-1] == pytest.approx(0.1)


def test_nothing_to_suggest() -> None:
    with pytest.raises(GroundupError, match=r"blew up after 5 steps"):
        range_test(Formula(lambda rate: 1.0 if rate < 1.4e-6 else math.inf), Bowl())  # type: ignore[arg-type]
    with pytest.raises(GroundupError, match="did not fall at any learning rate"):
        range_test(Formula(lambda rate: 3.0 + rate), Bowl(), highest=0.01)  # type: ignore[arg-type]
    assert _suggested([1.0, 2.0, 4.0], [8.0, 5.0, 0.0]) == 4.0


def test_the_curve_is_written_and_drawn(tmp_path: Path) -> None:
    found = range_test(Formula(valley), Bowl())  # type: ignore[arg-type]
    write_csv(found, tmp_path / "tune" / "rate.csv")
    with (tmp_path / "tune" / "rate.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == list(found.rates)
    assert [float(row["loss"]) for row in rows] == list(found.losses)
    lines = plot(found).splitlines()
    assert len(lines) == 24
    (marked,) = [line for line in lines if "<-" in line]
    assert 0.5 < float(marked.split()[0]) / found.suggested < 2
    assert lines[0].count("#") > marked.count("#") > min(line.count("#") for line in lines)
