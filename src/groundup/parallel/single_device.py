"""The engine of one process and one device."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from groundup.parallel.average import WeightAverage
from groundup.parallel.device import Precision
from groundup.parallel.engine import Accept, DivergedError, Engine, Loss, StepResult


class SingleDevice(Engine):
    """A model that is trained on one device: float32 master weights, products in bf16 where asked for."""

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

    def train_step(
        self,
        batch: Sequence[Any],
        weights: Sequence[float],
        loss: Loss,
        learning_rate: float,
        clip_norm: float,
        where: str = "",
        accept: Accept | None = None,
    ) -> StepResult:
        total = sum(weights)
        loss_sum, sums = 0.0, dict[str, float]()
        for micro_batch in batch:
            with self.autocast():
                part, statistics = loss(self.model, micro_batch)
            (part / total).backward()  # type: ignore[no-untyped-call]
            loss_sum += part.item()
            for name, value in statistics.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip_norm, foreach=True).item()
        mean = loss_sum / total
        if not (abs(mean) < float("inf") and norm < float("inf")):
            self.optimizer.zero_grad(set_to_none=True)
            raise DivergedError(
                f"the loss is {mean} and the gradient's norm {norm}: training has diverged",
                where=where or None,
                do="lower learning_rate, or look at the documents of this step; the last checkpoint is kept",
            )
        means = {name: value / total for name, value in sums.items()}
        if accept is not None and not accept(mean, norm):
            self.optimizer.zero_grad(set_to_none=True)
            return StepResult(mean, norm, means, total, taken=False)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()
        return StepResult(mean, norm, means, total)

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, dict[str, float]]:
        total, sums = 0.0, dict[str, float]()
        for micro_batch in batch:
            with self.autocast():
                part, statistics = loss(self.model, micro_batch)
            total += part.item()
            for name, value in statistics.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        return total, sums

    def whole(self) -> AbstractContextManager[nn.Module]:
        return nullcontext(self.model)

    def any(self, flag: bool) -> bool:
        return flag

    def state(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            tensors[f"model.{name}"] = parameter.detach().cpu()
            for moment, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{moment}.{name}"] = torch.as_tensor(value).detach().cpu()
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state().items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        if self.average:
            prefix = "average."
            self.average.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        moments: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, moment, name = key.split(".", 2)
                moments.setdefault(name, {})[moment] = value
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
                # a step counter lives where the optimizer made it: fused AdamW wants it beside the parameter
                self.optimizer.state[parameter] = {
                    moment: value.to(self.device, copy=True) for moment, value in moments.get(name, {}).items()
                }
