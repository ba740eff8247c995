"""Ten steps that are hard to get right: micro-batches of unequal width, rows and weight, clipping, decay, a vocabulary
that the ranks don't divide. Run in one process or under Megatron, they must come out alike."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

import ranks
import tiny
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Engine
from groundup.parallel.megatron import library
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.engines import engine_for
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch

# importing megatron.core to find out would be before the shim
needs_megatron = pytest.mark.skipif(find_spec("megatron") is None, reason="Megatron-core is not installed")
SECONDS = 240.0  # for a job; the machine may have other work

ALL = DataRank()
STEPS, MICRO, ROWS, CLIP, RATE = 10, 4, 4, 0.5, 3e-3
IGNORED = -100


Curve = list[tuple[float, float, float]]  # loss, gradient norm, accuracy


def run(size: int, function: Any, *arguments: Any) -> list[Any]:
    """What it returns in each process of a job. Megatron-core is imported once, before they are forked."""
    library.load()
    return ranks.run(size, function, *arguments, seconds=SECONDS)


def model(seed: int = 0, **changes: Any) -> CustomLanguageModel:
    return tiny.model(seed=seed, spread=0.1, **{"num_hidden_layers": 4} | changes)


def batches(step: int, data_rank: DataRank = ALL) -> list[TokenBatch]:
    """Micro-batches of 9 to 18 tokens, in whose rows up to 11 targets count for nothing; some hold two documents."""
    found = []
    for part in range(MICRO):
        ids = tiny.ids(ROWS, 10 + 3 * ((part + step) % 4), seed=100 * step + part)
        inputs, targets = ids[:, :-1], ids[:, 1:].clone()
        for row in range(ROWS):
            targets[row, : (3 * row + 2 * part + step) % 12] = IGNORED
        documents = torch.arange(inputs.shape[1]).expand(ROWS, -1) // 7 if step % 2 else None
        mine = data_rank.of(ROWS)
        rows = slice(mine.start, mine.stop)
        found.append(TokenBatch(inputs[rows], targets[rows], None if documents is None else documents[rows]))
    return found


def weight(batch: TokenBatch) -> float:
    return float((batch.targets_BT != IGNORED).sum())


def loss(of: Any, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """By `loss_sum`, whose softmax Megatron takes over a spread vocabulary, and by all logits at once."""
    total = of.loss_sum(batch.inputs_BT, batch.targets_BT, batch.documents_BT)
    logits, _ = of(batch.inputs_BT, None, batch.documents_BT)
    return total, {"accuracy": (logits.argmax(-1) == batch.targets_BT).sum()}


def train(engine: Engine, steps: Sequence[int] = range(STEPS)) -> Curve:
    curve = []
    for step in steps:
        mine = batches(step, engine.data_rank)
        result = engine.train_step(mine, [weight(batch) for batch in mine], loss, RATE, CLIP, where=f"step {step}")
        curve.append((result.loss, result.gradient_norm, result.statistics["accuracy"]))
    return curve


def single(of: CustomLanguageModel | None = None, config: LoopConfig | None = None) -> SingleDevice:
    config = config or LoopConfig()
    return SingleDevice(of or model(), make_optimizer(config.optimizer), torch.device("cpu"), "fp32", config.ema)


def megatron(
    of: CustomLanguageModel | None = None, precision: Any = "fp32", config: dict[str, Any] | None = None, **layout: Any
) -> Engine:
    """The engine that a blueprint would get."""
    given = {"accumulate": MICRO, "parallel": ParallelConfig(engine="megatron", **layout)} | (config or {})
    return engine_for(of or model(), PretrainConfig(**given), precision)


def furthest(ours: Curve, theirs: Curve) -> float:
    """The largest difference of two curves, the same steps in both."""
    pairs = zip(ours, theirs, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """Whether two states are the same bit for bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
