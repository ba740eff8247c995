"""Which parameters are trained by which rule: AdamW, Muon for matrices, or Adafactor; decay only where it belongs."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from groundup.machine import multiplies_bf16
from groundup.model.decoder import CustomLanguageModel
from groundup.training.adafactor import Adafactor
from groundup.training.configuration import OptimizerConfig
from groundup.training.muon import Muon

MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


def make_optimizer(config: OptimizerConfig) -> MakeOptimizer:
    """A maker of the optimizer that `config` names.

    Every parameter group carries `scale`, by which an engine multiplies each step's learning rate. Matrices decay,
    vectors (gains, biases) do not; embeddings decay with AdamW, as in GPT-2, and never under Muon.
    """
    return {"adamw": _adamw, "muon": _muon, "adafactor": _adafactor}[config.name](config)


def _adamw(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        groups = _by_shape(model, config)
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=config.eps, fused=_fused(_trained(model)))

    return make


def _muon(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        """Hidden matrices by Muon; embeddings, heads and vectors by AdamW."""
        outer = {
            id(parameter)
            for name, module in model.named_modules()
            if isinstance(module, nn.Embedding) or name.split(".")[-1] in ("lm_head", "score")
            for parameter in module.parameters(recurse=False)
        }
        trained = _trained(model)
        hidden = [p for p in trained if p.dim() >= 2 and id(p) not in outer]
        groups = [
            {**_group(hidden, config.weight_decay, config.matrix_scale), "muon": True},
            {**_group((p for p in trained if p.dim() >= 2 and id(p) in outer), 0.0), "muon": False},
            {**_group((p for p in trained if p.dim() < 2), 0.0), "muon": False},
        ]
        return Muon(
            [group for group in groups if group["params"]],
            momentum=config.momentum,
            betas=config.betas,
            eps=config.eps,
            fused=_fused(trained),
            dtype=_fastest(trained[0].device),
        )

    return make


def _adafactor(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        return Adafactor(_by_shape(model, config))

    return make


def _by_shape(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Matrices, which decay, and vectors, which do not; apart where muP gives them other learning rates."""
    scales = model.learning_rate_multipliers() if isinstance(model, CustomLanguageModel) else {}
    members: dict[tuple[float, float], list[Tensor]] = {}
    for matrices in (True, False):
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (parameter.dim() >= 2) == matrices:
                key = (config.weight_decay if matrices else 0.0, scales.get(name, 1.0))
                members.setdefault(key, []).append(parameter)
    return [_group(parameters, decay, scale) for (decay, scale), parameters in members.items()]


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _group(parameters: Iterable[Tensor], weight_decay: float, scale: float = 1.0) -> dict[str, Any]:
    return {"params": list(parameters), "weight_decay": weight_decay, "scale": scale}


def _fastest(device: torch.device) -> torch.dtype:
    """The fastest dtype for matmuls that need little precision."""
    return torch.bfloat16 if device.type != "cpu" or multiplies_bf16() else torch.float32


def _fused(parameters: list[nn.Parameter]) -> bool:
    return parameters[0].device.type in ("cpu", "cuda")
