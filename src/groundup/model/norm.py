"""RMSNorm (arXiv 1910.07467) with its backward pass written out, which reads memory less often than autograd's does.

    r = 1 / sqrt(mean(x^2) + eps);  y = x r w
    dx = r (dy w - x r mean(dy w x r));  dw = sum over rows of dy x r

Suffixes: D width; the leading dimensions are rows.
"""

from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Over the last dimension; the result is float32 where the input is, and else of the input's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _RMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
        return y


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        exact = x if x.dtype == weight_D.dtype else x.to(weight_D.dtype)
        inverse = (torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square() / x.shape[-1] + eps).rsqrt()
        ctx.save_for_backward(x, weight_D, inverse)
        return (exact * inverse * weight_D).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight_D, inverse = ctx.saved_tensors
        scaled, dy = x * inverse, dy.to(weight_D.dtype)
        gain_grad = dy * scaled
        slope = (gain_grad * weight_D).sum(-1, keepdim=True) / x.shape[-1]
        dx = (dy * weight_D - scaled * slope) * inverse
        return dx.to(x.dtype), gain_grad.sum(tuple(range(gain_grad.dim() - 1))), None
