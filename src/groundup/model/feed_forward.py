"""The feed-forward part of a layer, with or without a gate; a mixture's is in `experts.py`.

Suffixes as in `decoder.py`: B batch, T tokens, D width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig
from groundup.model.linear import Linear


class SquaredReLU(nn.Module):
    """max(x, 0) squared (Primer, arXiv 2109.08668)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


def activation(name: str) -> nn.Module:
    """An activation by Hugging Face's name; both of `gelu_new` and `gelu_pytorch_tanh` are the tanh formula."""
    match name:
        case "silu":
            return nn.SiLU()
        case "gelu":
            return nn.GELU()
        case "gelu_new" | "gelu_pytorch_tanh":
            return nn.GELU(approximate="tanh")
        case "relu":
            return nn.ReLU()
        case _:
            return SquaredReLU()


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)); SwiGLU where the activation is SiLU (arXiv 2002.05202)."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)
        self.act = activation(config.hidden_act)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out


class MLP(nn.Module):
    """down(act(up(x)))."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)
        self.act = activation(config.hidden_act)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act(self.up_proj(x_BTD)))
        return out
