"""nanoGPT's model and the way it draws: a plain reading, to measure against and to meet its published curve.

Modules are made, weights drawn and batches picked in nanoGPT's order, so that after `torch.manual_seed(1337)` every
random number is the one that the published logs have used: before the first step its estimate of the validation loss
of tinyshakespeare's characters is 4.1649, as in those logs.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.decoder import Block, CustomLanguageModel
from groundup.model.feed_forward import MLP

ESTIMATED = 20  # batches of each split that a loss is estimated from


class NanoGPTShape(TypedDict):
    """What makes a model of nanoGPT's."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    bias: bool


class NanoGPT(nn.Module):
    """GPT-2 with a fused projection of queries, keys and values and PyTorch's flash attention."""

    def __init__(self, shape: NanoGPTShape) -> None:
        super().__init__()
        width = shape["width"]
        self.tokens = nn.Embedding(shape["vocabulary"], width)
        self.positions = nn.Embedding(shape["context"], width)
        self.blocks = nn.ModuleList(NanoGPTBlock(shape) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(width, bias=shape["bias"])
        self.head = nn.Linear(width, shape["vocabulary"], bias=False)
        self.tokens.weight = self.head.weight
        self.apply(_draw)
        for name, parameter in self.named_parameters():
            if name.endswith("_out.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape["layers"]))

    def forward(self, inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """The mean loss."""
        x_BTD = self.tokens(inputs_BT) + self.positions(torch.arange(inputs_BT.shape[1]))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        logits: Tensor = self.head(self.norm(x_BTD))
        return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten())


class NanoGPTBlock(nn.Module):
    def __init__(self, shape: NanoGPTShape) -> None:
        super().__init__()
        width, bias = shape["width"], shape["bias"]
        self.heads = shape["heads"]
        self.norm_1 = nn.LayerNorm(width, bias=bias)
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width, bias), nn.Linear(width, width, bias)
        self.norm_2 = nn.LayerNorm(width, bias=bias)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width, bias), nn.Linear(4 * width, width, bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        q, k, v = (
            part.view(B, T, self.heads, -1).transpose(1, 2)
            for part in self.attention_in(self.norm_1(x_BTD)).split(D, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.attention_out(y.transpose(1, 2).reshape(B, T, D))
        out: Tensor = x_BTD + self.mlp_out(F.gelu(self.mlp_in(self.norm_2(x_BTD))))
        return out


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


@torch.no_grad()
def give_weights(theirs: NanoGPT, ours: CustomLanguageModel) -> None:
    """Start our model, of the same shape and without biases, from their weights."""
    ours.model.embed_tokens.weight.copy_(theirs.tokens.weight)
    assert ours.model.embed_positions is not None
    ours.model.embed_positions.weight.copy_(theirs.positions.weight)
    for mine, block in zip(ours.model.layers, theirs.blocks, strict=True):
        assert isinstance(mine, Block) and isinstance(block, NanoGPTBlock) and isinstance(mine.mlp, MLP)
        attention, q_k_v = mine.self_attn, block.attention_in.weight.chunk(3)
        for projection, weight in zip((attention.q_proj, attention.k_proj, attention.v_proj), q_k_v, strict=True):
            projection.weight.copy_(weight)
        attention.o_proj.weight.copy_(block.attention_out.weight)
        mine.mlp.up_proj.weight.copy_(block.mlp_in.weight)
        mine.mlp.down_proj.weight.copy_(block.mlp_out.weight)


def draw(ids_N: Tensor, rows: int, context: int) -> Tensor:
    """`rows` windows of `context + 1` tokens, int64 [rows, context + 1]."""
    starts = torch.randint(len(ids_N) - context, (rows,))
    return torch.stack([ids_N[start : start + context + 1] for start in starts.tolist()])


def estimate(loss: Callable[[Tensor], float], splits: Sequence[Tensor], rows: int, context: int) -> list[float]:
    """The mean of `loss` over batches that are drawn from each split in turn."""
    return [sum(loss(draw(ids_N, rows, context)) for _ in range(ESTIMATED)) / ESTIMATED for ids_N in splits]
