"""Rotary positions (arXiv 2104.09864) in Hugging Face's half-split layout, and the ways to stretch them.

A head's dimensions i and i + K/2 are turned together by the angle position x frequency_i. Frequencies and angles are
computed in float64: in float32 the angle at position 100,000 is off by up to .004.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig, RopeScaling

PADDING = 8  # positions beyond the context at which a batch may hold padding, which nothing attends


class Rotary(nn.Module):
    """Cosines and sines of every position's angles, float32, made once."""

    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        frequencies, factor = frequencies_of(config)
        angles = torch.outer(torch.arange(config.max_position_embeddings + PADDING), frequencies)
        angles = torch.cat((angles, angles), dim=-1)  # the half-split layout: dimension i turns with i + K/2
        self.register_buffer("cos_TK", (angles.cos() * factor).float(), persistent=False)
        self.register_buffer("sin_TK", (angles.sin() * factor).float(), persistent=False)

    def forward(self, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin), each [B, 1, T, K]."""
        return self.cos_TK[positions_BT][:, None], self.sin_TK[positions_BT][:, None]


def rotate(x_BHTK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of a head by its position's angle, in float32; the result has `x`'s dtype."""
    turned: Tensor = _Rotate.apply(x_BHTK, cos, sin)  # type: ignore[no-untyped-call]
    return turned


class _Rotate(torch.autograd.Function):
    """The way back is the rotation by the opposite angle."""

    @staticmethod
    def forward(ctx: Any, x_BHTK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x_BHTK, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, dy_BHTK: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(dy_BHTK, cos, sin, -1), None, None


def _turned(x_BHTK: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    """(x1 cos - x2 sin, x2 cos + x1 sin) of a head's halves x1 and x2; both halves of a table are equal."""
    x = x_BHTK.to(torch.promote_types(x_BHTK.dtype, cos.dtype))
    half = x.shape[-1] // 2
    cos, sin = cos[..., :half], sin[..., :half]
    if torch.compiler.is_compiling():  # code is made that holds nothing in between, and it can't write into views
        x1, x2, sin = x[..., :half], x[..., half:], direction * sin
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), -1).to(x_BHTK.dtype)
    y = torch.empty_like(x)
    torch.mul(x[..., :half], cos, out=y[..., :half]).addcmul_(x[..., half:], sin, value=-direction)
    torch.mul(x[..., half:], cos, out=y[..., half:]).addcmul_(x[..., :half], sin, value=direction)
    return y.to(x_BHTK.dtype)


def frequencies_of(config: LLMConfig) -> tuple[Tensor, float]:
    """(angle per position of each pair, float64 [K/2]; what cosines and sines are multiplied by)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    frequencies = config.rope_theta**-exponents
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies, 1.0
    before = scaling.original_max_position_embeddings or config.max_position_embeddings
    match scaling.rope_type:
        case "linear":  # arXiv 2306.15595
            return frequencies / scaling.factor, 1.0
        case "llama3":
            return _llama3(frequencies, scaling, before), 1.0
        case "yarn":
            return _yarn(frequencies, scaling, before, config), _yarn_factor(scaling)


def _llama3(frequencies: Tensor, scaling: RopeScaling, before: int) -> Tensor:
    """Fast angles stay, slow ones are divided by the factor, in between one passes into the other (Llama 3.1)."""
    turns = before * frequencies / (2 * math.pi)  # within the context before
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / scaling.factor)


def _yarn(frequencies: Tensor, scaling: RopeScaling, before: int, config: LLMConfig) -> Tensor:
    """Pairs that turn more than `beta_fast` times stay, those below `beta_slow` are divided (arXiv 2309.00071, 3.2)."""
    size = config.head_dim

    def pair_that_turns(times: float) -> float:
        return size * math.log(before / (times * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    first, last = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    if first == last:
        last += 0.001  # as in the published code: a step instead of a ramp
    ramp = torch.arange(len(frequencies), dtype=torch.float64, device=frequencies.device)
    divided = ((ramp - first) / (last - first)).clamp(0, 1)
    return frequencies * ((1 - divided) + divided / scaling.factor)


def _yarn_factor(scaling: RopeScaling) -> float:
    """What keeps the attention's entropy as it was (arXiv 2309.00071, 3.4)."""

    def magnitude(weight: float) -> float:
        return 0.1 * weight * math.log(scaling.factor) + 1

    if scaling.attention_factor is not None:
        return scaling.attention_factor
    if scaling.mscale and scaling.mscale_all_dim:
        return magnitude(scaling.mscale) / magnitude(scaling.mscale_all_dim)
    return magnitude(1)
