"""A step with a PyTorch optimizer, the same in one process and in many: sum, divide by the weight of the whole batch,
clip, ask, step. What differs between the two is in a few small methods.

Under `fp16` the loss is scaled as well (`loss_scale.py`), and a step whose gradient overflows is skipped: it counts as
a step, and its statistics include the scale.
"""

from abc import abstractmethod
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Snapshot, snapshot
from groundup.parallel.device import Precision
from groundup.parallel.engine import Accept, DivergedError, Engine, Loss, Statistics, StepResult
from groundup.parallel.loss_scale import LossScaler

Sums = dict[str, float]  # name -> sum over the micro-batches so far


def add(sums: Sums, statistics: Statistics) -> None:
    """Add a micro-batch's statistics to the sums."""
    for name, value in statistics.items():
        sums[name] = sums.get(name, 0.0) + float(value)


@runtime_checkable
class PackedState(Protocol):
    """An optimizer that keeps its state in fewer bits than a checkpoint has."""

    def unpacked(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter, as it is kept in a checkpoint."""

    def pack(self, parameter: Tensor, state: Mapping[str, Tensor]) -> None:
        """Take what a checkpoint has of it."""


class TorchEngine(Engine):
    """`SingleDevice` and `MeshEngine` share the step and the names of the state."""

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision) -> None:
        super().__init__(model, device, precision)
        self.scaler = LossScaler() if precision == "fp16" else None

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
        total = self._total(sum(weights))
        self.model.train(self.dropout)
        scale = self.scaler.scale if self.scaler else 1.0
        loss_sum, sums = self._forward_backward(batch, loss, total / scale)
        self.model.eval()
        if self.scaler:
            self._multiply_gradients(1 / scale)
        norm = self._clip(clip_norm)
        mean = loss_sum / total
        means = {name: value / total for name, value in sums.items()}
        if self.scaler:
            means["loss_scale"] = scale
        if not (abs(mean) < float("inf") and norm < float("inf")):
            self.optimizer.zero_grad(set_to_none=True)
            if self.scaler and self.scaler.overflowed():
                return StepResult(mean, norm, means, total, taken=False)
            raise DivergedError(
                f"the loss is {mean} and the gradient's norm {norm}: training has diverged",
                where=where or None,
                do="lower learning_rate, or look at the documents of this step; the last checkpoint is kept",
            )
        if self.scaler:
            self.scaler.finite()
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

    @abstractmethod
    def _total(self, weight: float) -> float:
        """The weight of the global batch, of this process's part of it."""

    @abstractmethod
    def _forward_backward(self, batch: Sequence[Any], loss: Loss, divisor: float) -> tuple[float, Sums]:
        """(sum of losses, sums of statistics) of the global batch; gradients are those of the sum over `divisor`."""

    @abstractmethod
    def _clip(self, norm: float) -> float:
        """Cut the gradient to `norm`; its norm before, over all parameters in all processes."""

    @torch.no_grad()
    def _multiply_gradients(self, factor: float) -> None:
        """What this process holds of them; sums over processes that are still due stay so."""
        found = (parameter.grad for parameter in self.model.parameters() if parameter.grad is not None)
        gradients = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in found]
        if gradients:
            torch._foreach_mul_(gradients, factor)

    def tensors(self) -> dict[str, Tensor]:
        """What this process holds of the state, under the names of `state`: DTensors where it is a shard of a tensor.

        They are the state itself, no copies, but for an optimizer with packed state. Frozen weights (under adapters)
        never change, and are not among them.
        """
        found, optimizer = dict[str, Tensor](), self.optimizer
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            found[f"model.{name}"] = parameter.detach()
            kept = optimizer.state.get(parameter, {})
            for key, value in (optimizer.unpacked(parameter) if isinstance(optimizer, PackedState) else kept).items():
                found[f"optimizer.{key}.{name}"] = value
        if self.average:
            found["average.steps"] = torch.tensor(self.average.steps)
            found |= {f"average.weight.{name}": tensor for name, tensor in self.average.weights.items()}
        return found | self.scaler.tensors() if self.scaler else found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        _make_state(self.optimizer)
        own, restored = self.tensors(), set[str]()
        for name, whole in self._received(tensors):
            if name in own:  # else it is of another pipeline stage
                own[name].copy_(self._shard_of(whole, own[name]))
                restored.add(name)
        self._drop_state_not_in(restored)
        self._take(own)

    def snapshot(self) -> Snapshot:
        return snapshot(self.tensors())

    @torch.no_grad()
    def load(self, files: TensorFiles) -> None:
        _make_state(self.optimizer)
        self._drop_state_not_in(files)
        own = self.tensors()
        files.read_into(own)
        self._take(own)

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        """The parts of the state that `tensors` gave copies of."""
        if isinstance(self.optimizer, PackedState):
            states: dict[str, dict[str, Tensor]] = {}
            for key, tensor in tensors.items():
                if key.startswith("optimizer."):
                    _, moment, name = key.split(".", 2)
                    states.setdefault(name, {})[moment] = tensor
            for name, parameter in self.model.named_parameters():
                if parameter in self.optimizer.state:  # else it had none when it was saved
                    self.optimizer.pack(parameter, states[name])
        if self.average:
            self.average.steps = int(tensors["average.steps"])
        if self.scaler:
            self.scaler.restore(tensors)

    def _drop_state_not_in(self, saved: Container[str]) -> None:
        """Drop the optimizer state of parameters that had none when they were saved: they had not taken a step."""
        for name, parameter in self.model.named_parameters():
            state = self.optimizer.state.get(parameter, {})
            if not any(f"optimizer.{key}.{name}" in saved for key in state):
                self.optimizer.state.pop(parameter, None)

    def _received(self, tensors: Mapping[str, Tensor]) -> Iterable[tuple[str, Tensor]]:
        """The whole tensors of a state, one after the other, in every process."""
        return tensors.items()

    def _shard_of(self, whole: Tensor, like: Tensor) -> Tensor:
        """What this process holds of a whole tensor, laid out as `like` is."""
        return whole


@torch.no_grad()
def _make_state(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer make the state of all its parameters, by a step that moves none of them: at a learning rate
    of 0, over gradients of 0. Only the optimizer knows how its state is laid out over the processes; collective."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
