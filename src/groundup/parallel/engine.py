"""The engine: it owns the model's place, the micro-batch loop, clipping and the optimizer's step.

A training loop hands it a whole batch as micro-batches and a loss; it knows nothing of data, schedules or stages.
One process is the degenerate case of many: engines over several devices offer the same methods.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.parallel.average import WeightAverage
from groundup.parallel.device import Precision

Statistics = dict[str, Tensor]  # name -> sum over the micro-batch, to be divided by its weight
Loss = Callable[[nn.Module, Any], tuple[Tensor, Statistics]]  # (model, micro-batch) -> (sum of losses, statistics)


Accept = Callable[[float, float], bool]  # (mean loss, gradient norm) -> whether the weights may take the step


class DivergedError(GroundupError):
    """The loss or the gradient is not finite."""


@dataclass(frozen=True)
class StepResult:
    """Means over the global batch, and the gradient's norm before clipping."""

    loss: float
    gradient_norm: float
    statistics: dict[str, float]
    taken: bool = True  # False: the step was not accepted, and nothing has changed


class Placed:
    """A model on a device, with the precision of its products. Weights are float32."""

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision) -> None:
        self.device, self.precision = device, precision
        self.model = model.to(device)

    @property
    def dtype(self) -> torch.dtype:
        """Of products and of key-value caches."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class SingleDevice(Placed):
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

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the model has its averaged weights, where an average is kept."""
        return self.average.in_place() if self.average else nullcontext()

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
        """One optimizer step over micro-batches, each loss sum divided by the weight of them all.

        Args:
            accept: asked before the weights move; where it says no, they stay.

        Raises:
            DivergedError: the loss or the gradient is not finite; nothing has been changed then.
        """
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
            return StepResult(mean, norm, means, taken=False)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update()
        return StepResult(mean, norm, means)

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer moments under canonical names, on the CPU."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            tensors[f"model.{name}"] = parameter.detach().cpu()
            for moment, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{moment}.{name}"] = torch.as_tensor(value).detach().cpu()
        if self.average:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state().items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up the state that `state` gave."""
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
