"""The head and its loss as one function that never holds all logits.

Logits of N tokens over V words take 4 N V bytes, and a plain backward pass holds them several times: at 8,192 tokens
and 32,768 words a gigabyte each time. Here they are made, turned into their own gradient and used up a few rows at a
time, so that a chunk stays in the cache. The gradients are worked out in the forward pass; backward only scales them.

Suffixes: N tokens, D width, V vocabulary, C tokens of a chunk.
"""

from typing import Any

import torch
from torch import Tensor

from groundup.model.linear import matmul

IGNORED = -100  # a target that counts for nothing
LOGITS_BYTES = 48 << 20  # held at once: enough for matmuls at full speed
FLOAT16_ROWS = 2048  # whose matmuls are summed in float16, which ends at 65,504: no loss scale reaches these sums
CACHED_BYTES = 2 << 20  # of float32 scores: a part at a time that stays in a core's cache


def linear_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, softcap: float | None = None, z_loss: float = 0.0
) -> Tensor:
    """The sum over tokens of the cross-entropy of `x @ weight.T` (float32 scalar), targets of -100 ignored.

    Args:
        x_ND: features; under autocast matmuls have its precision, softmax and sums always in float32.
        weight_VD: the head's matrix.
        targets_N: int64.
        softcap: logits become softcap * tanh(logits / softcap) (Gemma 2, arXiv 2408.00118).
        z_loss: weight of the squared log of the softmax's sum, which keeps logits from drifting (PaLM, 2204.02311).
    """
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        x_ND = x_ND.to(torch.get_autocast_dtype(device))
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_ND, weight_VD, targets_N, softcap, z_loss, gradients_wanted(x_ND, weight_VD)
    )
    return loss


def rows_at_once(dtype: torch.dtype, row_bytes: int) -> int:
    """How many rows of logits, of so many bytes each, are held and summed over at once."""
    rows = max(1, LOGITS_BYTES // row_bytes)
    return min(rows, FLOAT16_ROWS) if dtype == torch.float16 else rows


def gradients_wanted(x_ND: Tensor, weight_VD: Tensor) -> bool:
    """Whether there will be a backward pass; inside of an autograd function validation looks the same."""
    return torch.is_grad_enabled() and (x_ND.requires_grad or weight_VD.requires_grad)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        z_loss: float,
        wanted: bool,
    ) -> Tensor:
        head_VD = weight_VD.to(x_ND.dtype)
        rows = rows_at_once(x_ND.dtype, head_VD.element_size() * len(head_VD))
        dx_ND, dhead_VD = torch.empty_like(x_ND) if wanted else None, None
        total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        part = max(1, CACHED_BYTES // (4 * len(head_VD)))
        for first in range(0, len(x_ND), rows):
            x_CD, targets_C = x_ND[first : first + rows], targets_N[first : first + rows]
            logits_CV = matmul(x_CD, head_VD.mT)
            for row in range(0, len(x_CD), part):
                here = slice(row, row + part)
                total += _to_gradient(logits_CV[here], targets_C[here], softcap, z_loss, wanted)
            if dx_ND is not None:
                dx_ND[first : first + rows] = matmul(logits_CV, head_VD)
                part_VD = matmul(logits_CV.mT, x_CD)
                dhead_VD = part_VD.float() if dhead_VD is None else dhead_VD.add_(part_VD)
        ctx.save_for_backward(dx_ND, dhead_VD)
        ctx.weight_dtype = weight_VD.dtype
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        dx_ND, dhead_VD = ctx.saved_tensors
        d_weight_VD = (dhead_VD * d_loss).to(ctx.weight_dtype)
        return dx_ND * d_loss.to(dx_ND.dtype), d_weight_VD, None, None, None, None


def _to_gradient(logits_RV: Tensor, targets_R: Tensor, softcap: float | None, z_loss: float, wanted: bool) -> Tensor:
    """The sum of the rows' losses; the logits are overwritten with the loss's gradient by them, if it is wanted."""
    counted_R1, chosen_R1 = (targets_R != IGNORED)[:, None], targets_R[:, None].clamp_min(0)
    scores_RV, bent_RV = logits_RV.float(), None
    if softcap is not None:
        bent_RV = torch.tanh(scores_RV / softcap)
        scores_RV = bent_RV * softcap
    p_RV = scores_RV.softmax(-1)
    # log of the sum of exponentials, by way of the largest: its probability is at least 1 / V
    sums_R1 = scores_RV.amax(-1, keepdim=True) - p_RV.amax(-1, keepdim=True).log()
    losses_R1 = sums_R1 - scores_RV.gather(1, chosen_R1) + z_loss * sums_R1.square()
    if wanted:
        if z_loss:
            p_RV.mul_(1 + 2 * z_loss * sums_R1)
        p_RV.scatter_add_(1, chosen_R1, torch.full_like(sums_R1, -1.0))
        if bent_RV is not None:
            p_RV.mul_(1 - bent_RV.square_())
        logits_RV.copy_(p_RV.mul_(counted_R1))
    return losses_R1.masked_fill_(~counted_R1, 0).sum()
