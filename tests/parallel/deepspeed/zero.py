"""Batches with unequal numbers of valid tokens, and engines to train on them, for the tests of this folder."""

import gc
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ranks
import tiny
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Engine
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.optimizer import make_optimizer

Result = TypeVar("Result")
Batch = tuple[Tensor, Tensor]  # token ids, targets; -100: not counted
ROWS, TOKENS, ACCUMULATE = 4, 9, 2
RATE, CLIP = 5e-3, 2.0
IMPORTED_LATE = (
    "groundup.parallel.deepspeed.engine",
    "deepspeed.module_inject.auto_ep_layer",
    "deepspeed.runtime.superoffload.superoffload_stage3",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "torch._inductor.compile_fx",
    "torch.distributed.tensor",
)
NOTHING_STAYS_WHOLE = {"zero_optimization": {"stage3_param_persistence_threshold": 0}}


def config(stage: int = 3, size: int = 2, **changes: Any) -> LoopConfig:
    """A stage's configuration under DeepSpeed."""
    parallel = {"engine": "deepspeed", "dp_shard": size, "zero_stage": stage}
    if stage == 3:
        parallel["deepspeed"] = NOTHING_STAYS_WHOLE
    parallel |= changes.pop("parallel", {})
    given: dict[str, Any] = {"accumulate": ACCUMULATE, "clip_norm": CLIP} | changes
    return LoopConfig(parallel=ParallelConfig(**parallel), **given)


def engine(given: LoopConfig, precision: str = "fp32", seed: int = 0, **shape: Any) -> Engine:
    return engine_for(tiny.model(seed, **shape), given, precision)


def single(given: LoopConfig | None = None, seed: int = 0, **shape: Any) -> SingleDevice:
    given = given or LoopConfig()
    made = make_optimizer(given.optimizer)
    return SingleDevice(tiny.model(seed, **shape), made, torch.device("cpu"), "fp32", given.ema)


def batches(step: int, data_rank: DataRank) -> list[Batch]:
    """A data rank's micro-batches of a step. Rows end after 1 to 9 tokens, those of the first half earlier."""
    made = []
    for part in range(ACCUMULATE):
        seed = 1000 * step + part
        ids, targets = tiny.ids(ROWS, TOKENS, seed=seed), tiny.ids(ROWS, TOKENS, seed=seed + 500)
        for row in range(ROWS):
            targets[row, 1 + (seed + 2 * row) % TOKENS :] = -100
        rows = data_rank.of(ROWS)
        made.append((ids[rows.start : rows.stop], targets[rows.start : rows.stop]))
    return made


def weights(batch: list[Batch]) -> list[float]:
    return [float((targets >= 0).sum()) for _, targets in batch]


def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    logits, _ = model(batch[0])
    right = (logits.argmax(-1) == batch[1]).sum()
    total = F.cross_entropy(logits.flatten(0, 1).float(), batch[1].flatten(), ignore_index=-100, reduction="sum")
    return total, {"right": right}


def run(size: int, function: Callable[..., Result], *arguments: Any) -> list[Result]:
    """`ranks.run`, with time for DeepSpeed to start on a machine that is busy."""
    for module in IMPORTED_LATE:  # seconds, which each rank would take again
        import_module(module)
    gc.freeze()  # so that a rank's collections, of which DeepSpeed makes many, don't walk what is here
    try:
        return ranks.run(size, function, *arguments, seconds=180)
    finally:
        gc.unfreeze()


def train(engine: Engine, steps: int, first: int = 0, **more: Any) -> list[tuple[float, float, float]]:
    """(loss, gradient norm, fraction of tokens that were right) of each step."""
    curve = []
    for step in range(first, first + steps):
        batch = batches(step, engine.data_rank)
        result = engine.train_step(batch, weights(batch), loss, RATE / (1 + step % 3), CLIP, **more)
        curve.append((result.loss, result.gradient_norm, result.statistics["right"]))
    return curve


def largest(ours: list[tuple[float, ...]], theirs: list[tuple[float, ...]]) -> float:
    """The largest difference between two curves."""
    assert len(ours) == len(theirs)
    return max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
