"""Adafactor: Adam whose second moment of a matrix is kept as one row and one column (arXiv 1804.04235).

    V = row column / mean of row,  each a running mean of the squared gradient;   update = gradient / sqrt(V)

An update whose root mean square is above 1 is cut to that, and moves a parameter by the learning rate times its own
root mean square. As PyTorch's, with its defaults, but also for parameters of which each process has a part: then
means are taken over the parts of all processes, where PyTorch's stops with an error.

Suffixes: R rows, C columns; leading dimensions, as those of a mixture's experts, are separate matrices.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Placement, Replicate

from groundup.training.one_by_one import OneByOne, local

DECAY = -0.8  # of the running means: step n counts n ** -.8
MIN_SCALE = 1e-3  # of a parameter, so that one that is 0 can leave it


class Adafactor(OneByOne):
    """Each group has `params` and `weight_decay`."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        lr, weight_decay = group["lr"], group["weight_decay"]
        state, weight, gradient = self.state[parameter], local(parameter), local(parameter.grad)
        if not state:
            state["step"] = torch.tensor(0.0)
        state["step"] += 1
        step = state["step"].item()
        size = mean_square(weight, parameter) ** 0.5
        rate = max(MIN_SCALE, size) * min(lr, step**-0.5)
        weight.mul_(1 - lr * weight_decay)
        least = torch.finfo(weight.dtype).eps
        if parameter.dim() > 1:
            squares_RC = gradient.square()
            row_R1 = _running(state, "row_var", mean(squares_RC, parameter, -1), parameter, step, -1)
            column_1C = _running(state, "col_var", mean(squares_RC, parameter, -2), parameter, step, -2)
            variance = row_R1 * column_1C / mean(row_R1, parameter, -2).clamp(min=least)
        else:
            variance = _running(state, "variance", gradient.square(), parameter, step)
        update = gradient * variance.clamp(min=least**2).rsqrt()
        weight.sub_(update, alpha=rate / max(1.0, mean_square(update, parameter) ** 0.5))


def mean(x: Tensor, parameter: Tensor, dim: int) -> Tensor:
    """Of values that lie as a parameter does, the mean along a dimension of the whole, with that dimension kept."""
    return summed(x.sum(dim, keepdim=True), parameter, {dim % parameter.dim()}) / parameter.shape[dim]


def mean_square(x: Tensor, parameter: Tensor) -> float:
    """Of values that lie as a parameter does, over the whole."""
    return summed(x.square().sum(), parameter, set(range(parameter.dim()))).item() / parameter.numel()


def summed(x: Tensor, parameter: Tensor, dims: set[int]) -> Tensor:
    """The sum over the processes between which a parameter is cut along one of these dimensions; `x` is changed."""
    if isinstance(parameter, DTensor):
        for number, placement in enumerate(parameter.placements):
            if _cuts(placement, dims):
                dist.all_reduce(x, group=parameter.device_mesh.get_group(number))
    return x


def _running(
    state: dict[str, Any], name: str, new: Tensor, parameter: Tensor, step: float, flat: int | None = None
) -> Tensor:
    """Take a value into the running mean of this name; the mean, or this process's part of it.

    `flat`: the dimension of the parameter that the value has no longer.
    """
    if name not in state:
        state[name] = _zeros(new, parameter, flat)
    kept = local(state[name])
    kept.lerp_(new, step**DECAY)
    return kept


def _zeros(part: Tensor, parameter: Tensor, flat: int | None) -> Tensor:
    """What lies over the processes as a parameter does, but for the dimension `flat`, which is 1 long."""
    zeros = torch.zeros_like(part)
    if not isinstance(parameter, DTensor):
        return zeros
    shape, cut = list(parameter.shape), list(parameter.placements)
    if flat is not None:
        shape[flat] = 1
        cut = [Replicate() if _cuts(placement, {flat % len(shape)}) else placement for placement in cut]
    stride = torch.empty(shape, device="meta").stride()
    mesh = parameter.device_mesh
    return DTensor.from_local(zeros, mesh, cut, run_check=False, shape=torch.Size(shape), stride=stride)


def _cuts(placement: Placement, dims: set[int]) -> bool:
    return not placement.is_replicate() and placement.dim in dims  # type: ignore[attr-defined]
