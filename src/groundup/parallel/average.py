"""An exponential moving average of the weights, which often does better than the weights of the last step alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class WeightAverage:
    """Averages the trained parameters of a model (Polyak averaging, arXiv 2407.20496 for language models).

    The decay rises to its full value over the first steps, min(decay, (1 + t) / (10 + t)), so that the first weights
    are forgotten early.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        # the averages, by the names of their parameters
        self.weights = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(_local(self.weights), _local(self._weights), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model has the averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average."""
        for name, weight in self._weights.items():
            held = weight.detach().clone()
            weight.copy_(self.weights[name])
            self.weights[name] = held

    def state(self) -> dict[str, Tensor]:
        """Names to tensors on the CPU, with the number of steps taken."""
        return {
            "steps": torch.tensor(self.steps),
            **{f"weight.{name}": tensor.cpu() for name, tensor in self.weights.items()},
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self.steps = int(tensors["steps"])
        for name, average in self.weights.items():
            average.copy_(tensors[f"weight.{name}"])


def _local(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """What this process holds of each: an average is taken number by number."""
    return [tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach() for tensor in tensors.values()]
