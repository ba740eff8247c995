"""AdamW, with decay only where it belongs."""

from collections.abc import Callable

import torch
from torch import nn

from groundup.training.configuration import OptimizerConfig


def adamw(config: OptimizerConfig) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """A maker of AdamW: matrices decay, vectors (gains, biases) do not. The learning rate comes with each step."""

    def make(model: nn.Module) -> torch.optim.Optimizer:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        fused = parameters[0].device.type in ("cpu", "cuda")
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=config.eps, fused=fused)

    return make
