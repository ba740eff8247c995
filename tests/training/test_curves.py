"""Loss curves that must be one: whatever the precision, the micro-batches or recomputation."""

from typing import Any

import pytest
import torch

import tiny
from groundup.parallel.device import Precision
from groundup.parallel.recompute import checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.training.configuration import LoopConfig, OptimizerConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import Pretraining
from groundup.training.schedule import learning_rate

LENGTH, STEPS = 16, 40


def objective(accumulate: int = 1, inside_documents: bool = False) -> Pretraining:
    """Sentences that repeat with changes, so that there is something to learn."""
    phrase = tiny.ids(1, 40)[0].tolist()
    noise = tiny.ids(60, 7, seed=3).tolist()
    documents = [[*phrase[n % 9 : n % 9 + 20], *noise[n], 60] for n in range(60)]
    return Pretraining(
        SampleStream(TokenShard.of(documents), LENGTH, seed=4),
        None,
        batch_tokens=8 * LENGTH,
        accumulate=accumulate,
        inside_documents=inside_documents,
    )


def curve(
    made: Pretraining,
    steps: int = STEPS,
    precision: Precision = "fp32",
    change: Any = lambda model: None,
    optimizer: str = "adamw",
    rate: float = 5e-3,
) -> list[float]:
    model = tiny.model(spread=0.1)
    change(model)
    maker = make_optimizer(OptimizerConfig.model_validate({"name": optimizer}))
    engine, config, losses = SingleDevice(model, maker, torch.device("cpu"), precision), LoopConfig(), []
    for step in range(steps):
        batches = made.batches(step)
        weights = [made.weight(batch) for batch in batches]
        result = engine.train_step(batches, weights, made.loss, learning_rate(step, steps, rate, config), 1.0)
        losses.append(result.loss)
    return losses


def largest(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def plain() -> list[float]:
    found = curve(objective())
    assert found[-1] < found[0] - 1.5  # it learns
    return found


def test_bf16_follows_fp32(plain: list[float]) -> None:
    """Matmuls in bf16 over float32 weights: not the same, and never far."""
    rounded = curve(objective(), precision="bf16")
    assert 0 < largest(plain, rounded) < 3e-2


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_micro_batches_are_the_batch(plain: list[float], accumulate: int) -> None:
    assert largest(plain, curve(objective(accumulate))) < 1e-4


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_recomputed_is_kept(plain: list[float], mode: Any) -> None:
    assert curve(objective(), change=lambda model: checkpoint_blocks(model.model.layers, mode)) == plain


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_one_batch_is_learnt_to_the_end(optimizer: str) -> None:
    """Eight random sequences with distinct first tokens, read again and again."""
    ids = tiny.ids(1, 8 * LENGTH + 1)[0]
    ids[: 8 * LENGTH : LENGTH] = torch.arange(8)
    batch = SampleStream(TokenShard.of([ids.tolist()]), LENGTH, seed=4)
    losses = curve(Pretraining(batch, None, batch_tokens=8 * LENGTH, accumulate=1), 200, optimizer=optimizer, rate=1e-2)
    assert losses[0] > 4
    assert losses[-1] < 0.005
