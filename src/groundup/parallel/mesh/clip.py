"""The gradient's norm over all processes, and its cutting."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from groundup.parallel.mesh.layout import Layout


@torch.no_grad()
def clip(model: nn.Module, most: float, layout: Layout, shared: nn.Parameter | None = None) -> float:
    """Scale the gradient so that its norm is at most `most`; returns the norm before.

    `shared` is a parameter that two stages of a pipeline hold.

    Each process adds up the squares of what it holds, over the number of processes that hold the same: one sum over
    all processes is then the squared norm, whatever is sharded over what.
    """
    gradients: list[Tensor] = []
    squares = torch.zeros((), dtype=torch.float64, device=layout.device)
    for parameter in model.parameters():
        if parameter.grad is None:
            continue
        gradient = settled(parameter)
        gradients.append(gradient)
        squares += gradient.norm().double().square() / (copies(parameter, layout) * (2 if parameter is shared else 1))
    dist.all_reduce(squares)
    norm = squares.sqrt()
    scale = (most / (norm + 1e-6)).clamp(max=1.0).float()  # as torch.nn.utils.clip_grad_norm_
    if gradients:
        torch._foreach_mul_(gradients, scale.to(gradients[0].device))
    return norm.item()


def settled(parameter: nn.Parameter) -> Tensor:
    """This process's part of a gradient, laid out as its parameter: a sum over processes that is still due is taken."""
    gradient = parameter.grad
    assert gradient is not None
    if isinstance(parameter, DTensor) and isinstance(gradient, DTensor):
        if gradient.placements != parameter.placements:
            parameter.grad = gradient = gradient.redistribute(placements=parameter.placements)
        local: Tensor = gradient.to_local()
        return local
    return gradient


def copies(parameter: Tensor, layout: Layout) -> int:
    """How many processes hold the same part of a parameter."""
    parts = layout.degree("pp")
    if isinstance(parameter, DTensor):
        for dimension, placement in enumerate(parameter.placements):
            if not placement.is_replicate():
                parts *= parameter.device_mesh.size(dimension)
    return layout.mesh.size() // parts
