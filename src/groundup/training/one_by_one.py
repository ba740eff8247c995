"""What optimizers have in common that move one parameter after the other, each process its own part."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor


class OneByOne(torch.optim.Optimizer):
    """An optimizer that moves each parameter by itself."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the gradients are there already"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    @abstractmethod
    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Take a step with one parameter, which has a gradient."""


def local(tensor: Tensor | None) -> Tensor:
    """This process's part of a tensor, in the tensor's own memory."""
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
