"""Which parameters are trained by which rule: AdamW, Muon for matrices, Adafactor; decay only where it belongs."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from groundup.machine import multiplies_bf16
from groundup.model.decoder import Decoder
from groundup.model.shortcuts import Smear, StreamScalars
from groundup.training.adafactor import Adafactor
from groundup.training.adamw_8bit import AdamW8bit
from groundup.training.configuration import OptimizerConfig
from groundup.training.muon import Muon

# Vectors are gains and biases; values, scalars and stream are those of `shortcuts.py`, which nanochat found best moved
# half as fast as the embedding, and the stream's factors a hundredth as fast as the other numbers.
Kind = Literal["matrix", "embedding", "values", "head", "vector", "scalar", "stream"]
VALUES, STREAM = 0.5, 0.01
MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


@runtime_checkable
class ScaledRates(Protocol):
    """A model some of whose parameters have learning rates of their own."""

    def learning_rate_multipliers(self) -> dict[str, float]:
        """What each parameter's learning rate is multiplied by; 1 where its name is missing."""


def make_optimizer(config: OptimizerConfig) -> MakeOptimizer:
    """A maker of the optimizer that `config` names.

    Every parameter group carries `scale`, by which an engine multiplies each step's learning rate. Matrices decay,
    vectors (gains, biases) do not; embeddings decay with AdamW, as in GPT-2, and never under Muon.
    """
    makers = {"adamw": _adamw, "muon": _muon, "adafactor": _adafactor, "adamw_8bit": _adamw_8bit}
    return makers[config.name](config)


def _adamw(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        groups = _by_shape(model, config)
        return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=config.eps, fused=_fused(_trained(model)))

    return make


def _muon(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        """Hidden matrices by Muon; embeddings, heads and vectors by AdamW."""
        rates: dict[Kind, float] = {
            "matrix": config.matrix_scale,
            "embedding": config.embedding_scale,
            "values": config.embedding_scale * VALUES,
            "head": config.head_scale,
            "vector": config.vector_scale,
            "scalar": config.scalar_scale,
            "stream": config.scalar_scale * STREAM,
        }
        groups = [
            {**_group(members, config.weight_decay if kind == "matrix" else 0.0, rates[kind]), "muon": kind == "matrix"}
            for kind, members in kinds_of(model).items()
        ]
        trained = _trained(model)
        return Muon(
            [group for group in groups if group["params"]],
            momentum=config.momentum,
            momentum_warmup=config.momentum_warmup,
            cautious=config.cautious,
            iterations=config.iterations,
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


def _adamw_8bit(config: OptimizerConfig) -> MakeOptimizer:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        return AdamW8bit(_by_shape(model, config), betas=config.betas, eps=config.eps)

    return make


def _by_shape(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Matrices, which decay, and vectors, which do not; apart where the model gives them other learning rates."""
    scales = model.learning_rate_multipliers() if isinstance(model, ScaledRates) else {}
    members: dict[tuple[float, float], list[Tensor]] = {}
    for matrices in (True, False):
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (parameter.dim() >= 2) == matrices:
                key = (config.weight_decay if matrices else 0.0, scales.get(name, 1.0))
                members.setdefault(key, []).append(parameter)
    return [_group(parameters, decay, scale) for (decay, scale), parameters in members.items()]


def kinds_of(model: nn.Module) -> dict[Kind, list[nn.Parameter]]:
    """The trained parameters by what they are; a head that is tied to the embedding counts as that."""
    found: dict[Kind, list[nn.Parameter]] = {kind: [] for kind in get_args(Kind)}
    special: dict[int, Kind] = {}
    for name, module in model.named_modules():
        for part, parameter in module.named_parameters(recurse=False):
            if (kind := _special(name, module, part)) is not None:
                special.setdefault(id(parameter), kind)
    for parameter in _trained(model):
        found[special.get(id(parameter), "vector" if parameter.dim() < 2 else "matrix")].append(parameter)
    return found


def _special(name: str, module: nn.Module, part: str) -> Kind | None:
    """The kind of a module's parameter where its shape doesn't say it; the embedding comes before its tied head."""
    match module:
        case nn.Embedding():
            return "values" if name.endswith("value_embedding.table") else "embedding"
        case StreamScalars():
            return "stream" if part == "stream" else "scalar"
        case Smear() | Decoder():
            return "scalar"
        case _:
            head = name.split(".")[-1] in ("lm_head", "score") and part == "weight"
            return "head" if head else None


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _group(parameters: Iterable[Tensor], weight_decay: float, scale: float = 1.0) -> dict[str, Any]:
    return {"params": list(parameters), "weight_decay": weight_decay, "scale": scale}


def _fastest(device: torch.device) -> torch.dtype:
    """The fastest dtype for matmuls that need little precision."""
    return torch.bfloat16 if device.type != "cpu" or multiplies_bf16() else torch.float32


def _fused(parameters: list[nn.Parameter]) -> bool:
    return parameters[0].device.type in ("cpu", "cuda")
