"""Ways around a layer: what reaches the residual stream, or the logits, without going through the layers below.

All are nearly free: they cost a multiplication for each number of the stream, or look a row up. Small models learn
faster with them (karpathy/nanochat, KellerJordan/modded-nanogpt); no published family has them, so a model with one
can't be exported to other programs. `LLMConfig` switches each on; docs/experiments.md has what each brings.

    smear              x(t) = x(t) + s sigmoid(gate(x(t))) x(t - 1), before the first layer
    stream_scalars     x = a x + b x0, before each layer; x0 is the first layer's input
    value_embeddings   v = v + gate(x) E[token], in every second layer and the last (arXiv 2410.17897)
    backout            x = x - c x(middle layer), after the last layer

Suffixes as in `decoder.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig
from groundup.model.linear import Linear

GATE_CHANNELS, SMEAR_CHANNELS = 12, 24  # of the stream, which the gates read
BACKOUT = 0.2


@dataclass(frozen=True)
class FirstInput:
    """What layers read besides the stream: the first one's input [B, T, D], and the token ids [B, T]."""

    x_BTD: Tensor
    ids_BT: Tensor


class StreamScalars(nn.Module):
    """a x + b x0, with two learnt numbers for each layer."""

    def __init__(self, layer: int, layers: int) -> None:
        """The stream grows more in the first layers, and x0 counts more there: 1.15 to 1.05, and .2 to .05."""
        super().__init__()
        depth = layer / max(1, layers - 1)
        self.start = (1.15 - 0.1 * depth, 0.2 - 0.15 * depth)
        self.stream, self.first = (nn.Parameter(torch.full((1,), value)) for value in self.start)

    def forward(self, x_BTD: Tensor, first_BTD: Tensor) -> Tensor:
        return self.stream * x_BTD + self.first * first_BTD


class ValueEmbedding(nn.Module):
    """A table of values [V, G K], and a gate for each key-value head: 0 to 3, 1.5 where it knows nothing."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.num_key_value_heads * config.head_dim)
        self.gate = Linear(min(GATE_CHANNELS, config.hidden_size), config.num_key_value_heads, bias=False)

    def forward(self, v_BTGK: Tensor, x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        gate_BTG = 3 * torch.sigmoid(self.gate(x_BTD[..., : self.gate.in_features]))
        return v_BTGK + gate_BTG[..., None] * self.table(ids_BT).view_as(v_BTGK).to(v_BTGK.dtype)


class Smear(nn.Module):
    """Each token's embedding with a gated part of that of the token before it in its document."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.gate = Linear(min(SMEAR_CHANNELS, config.hidden_size), 1, bias=False)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x_BTD: Tensor, before_BTD: Tensor, has_before_BT: Tensor) -> Tensor:
        """
        Args:
            before_BTD: the embeddings of the tokens before.
            has_before_BT: bool, whether there is one in the token's document.
        """
        gate_BT1 = self.scale * torch.sigmoid(self.gate(x_BTD[..., : self.gate.in_features]))
        return x_BTD + gate_BT1 * has_before_BT[..., None] * before_BTD


def has_value_embedding(config: LLMConfig, layer: int) -> bool:
    """Every second layer, the last among them."""
    return config.value_embeddings and layer % 2 == (config.num_hidden_layers - 1) % 2


def initialise(module: nn.Module, std: float, generator: torch.Generator) -> bool:
    """Draw the weights of one of the modules above; whether it is one.

    Args:
        std: of the value embeddings, as of what projects to values.
    """
    match module:
        case StreamScalars():
            for parameter, value in zip((module.stream, module.first), module.start, strict=True):
                nn.init.constant_(parameter, value)
        case ValueEmbedding():
            nn.init.normal_(module.table.weight, std=std, generator=generator)
            nn.init.uniform_(module.gate.weight, 0.0, 0.02, generator=generator)
        case Smear():
            nn.init.uniform_(module.gate.weight, 0.0, 0.02, generator=generator)
            nn.init.zeros_(module.scale)
        case _:
            return False
    return True
