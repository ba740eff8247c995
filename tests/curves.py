"""Ten steps of training under a layout, and the same ten in one process: what every engine has to repeat."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

import tiny
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import add_adapters
from groundup.model.lora_config import LoraConfig
from groundup.parallel.compilation import compile_blocks
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.parallel.recompute import ActivationCheckpointing, checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch

STEPS = 10
ADAMW = OptimizerConfig()
LLAMA: dict[str, Any] = {"qk_norm": True}
GPT2: dict[str, Any] = {
    "position_embedding": "learned",
    "norm": "layer_norm",
    "hidden_act": "gelu_new",
    "gated_mlp": False,
    "attention_bias": True,
    "mlp_bias": True,
    "num_key_value_heads": 4,
}


@dataclass(frozen=True)
class Training:
    """What is trained. Micro-batches differ in how many of their targets count, and so do their rows."""

    shape: dict[str, Any] = field(default_factory=lambda: dict(LLAMA))
    optimizer: OptimizerConfig = ADAMW
    precision: str = "fp32"
    accumulate: int = 2
    rows: int = 4  # of a micro-batch, over all processes
    length: int = 16
    ema: float | None = None
    recompute: ActivationCheckpointing = "none"
    compiled: bool = False
    lora: LoraConfig | None = None

    def model(self) -> CustomLanguageModel:
        made = tiny.model(spread=0.1, **self.shape)
        if self.lora:
            add_adapters(made, self.lora)
        checkpoint_blocks(made.model.layers, self.recompute)
        if self.compiled:
            compile_blocks(made.model.layers)
        return made

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[TokenBatch]:
        generator = torch.Generator().manual_seed(step)
        batches = []
        for part in range(self.accumulate):
            rows = torch.randint(61, (self.rows, self.length + 1), generator=generator)
            counted = torch.rand(self.rows, self.length, generator=generator) < (part + 1) / (self.accumulate + 1)
            targets = rows[:, 1:].masked_fill(~counted, -100)
            mine = data_rank.of(self.rows)
            batches.append(TokenBatch(rows[mine, :-1], targets[mine]))
        return batches


@dataclass(frozen=True)
class Curve:
    """A loss, a gradient norm and a statistic per step, and a loss on other data at the end."""

    losses: list[float]
    norms: list[float]
    shares: list[float]
    validation: float

    def distance(self, other: "Curve", relative: bool = False) -> float:
        """The largest difference between two points; `relative`: over the size of those above 1."""
        pairs = zip(
            [*self.losses, *self.norms, *self.shares, self.validation],
            [*other.losses, *other.norms, *other.shares, other.validation],
            strict=True,
        )
        return max(abs(a - b) / (max(1.0, abs(b)) if relative else 1.0) for a, b in pairs)


def weight(batch: TokenBatch) -> float:
    return int((batch.targets_BT != -100).sum())


def loss(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    assert isinstance(model, CustomLanguageModel)
    total = model.loss_sum(batch.inputs_BT, batch.targets_BT, batch.documents_BT)
    return total, {"even": ((batch.targets_BT % 2 == 0) & (batch.targets_BT != -100)).sum()}


def steps(engine: Engine, training: Training, numbers: Sequence[int] = range(STEPS)) -> Curve:
    losses, norms, shares = [], [], []
    for step in numbers:
        batches = training.batches(step, engine.data_rank)
        result = engine.train_step(batches, [weight(batch) for batch in batches], loss, 1e-2 / (1 + step), 0.5)
        losses.append(result.loss)
        norms.append(result.gradient_norm)
        shares.append(result.statistics["even"])
    other = [batch for seed in (100, 101, 102) for batch in training.batches(seed)][:3]
    total, _ = engine.evaluate(other, loss)
    return Curve(losses, norms, shares, total / sum(map(weight, other)))


def alone(training: Training) -> SingleDevice:
    maker = make_optimizer(training.optimizer)
    return SingleDevice(training.model(), maker, torch.device("cpu"), training.precision, training.ema)


_curves: dict[str, Curve] = {}


def expected(training: Training) -> Curve:
    """The curve of one process, in float32, nothing compiled; computed once."""
    training = replace(training, compiled=False)
    key = repr(training)
    if key not in _curves:
        _curves[key] = steps(alone(training), training)
    return _curves[key]
