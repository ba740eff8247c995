"""The engine of one process and one device."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from groundup.parallel.average import WeightAverage
from groundup.parallel.device import Precision
from groundup.parallel.engine import Loss
from groundup.parallel.torch_engine import Sums, TorchEngine, add


class SingleDevice(TorchEngine):
    """A model that is trained on one device: float32 master weights, matmuls in bf16 or fp16 where asked for."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        device: torch.device,
        precision: Precision,
        ema_decay: float | None = None,
    ) -> None:
        """`ema_decay`: keep an exponential moving average of the weights with this decay per step."""
        super().__init__(model, device, precision)
        self.optimizer = make_optimizer(self.model)
        self.average = WeightAverage(self.model, ema_decay) if ema_decay else None

    def _total(self, weight: float) -> float:
        return weight

    def _forward_backward(self, batch: Sequence[Any], loss: Loss, divisor: float) -> tuple[float, Sums]:
        loss_sum, sums = 0.0, Sums()
        for micro_batch in batch:
            with self.autocast():
                part, statistics = loss(self.model, micro_batch)
            (part / divisor).backward()  # type: ignore[no-untyped-call]
            loss_sum += part.item()
            add(sums, statistics)
        return loss_sum, sums

    def _clip(self, norm: float) -> float:
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), norm, foreach=True).item()

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, dict[str, float]]:
        total, sums = 0.0, Sums()
        for micro_batch in batch:
            with self.autocast():
                part, statistics = loss(self.model, micro_batch)
            total += part.item()
            add(sums, statistics)
        return total, sums

    def whole(self) -> AbstractContextManager[nn.Module]:
        return nullcontext(self.model)

    def any(self, flag: bool) -> bool:
        return flag

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.cpu() for name, tensor in self.tensors().items()}
