"""The head and its loss as one function that never holds all logits.

Logits of N tokens over V words take 4 N V bytes, and a plain backward pass holds them several times: at 8,192 tokens
and 32,768 words a gigabyte each time. Here they are made, turned into their own gradient and used up a few rows at a
time, so that a chunk stays in the cache. The gradients are worked out in the forward pass; backward only scales them.

Suffixes: N tokens, D width, V vocabulary, C tokens of a chunk.
"""

from typing import Any

import torch
from torch import Tensor

IGNORED = -100  # a target that counts for nothing
CHUNK_BYTES = 4 << 20  # of float32 logits: about what a core's caches hold


def linear_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, softcap: float | None = None, z_loss: float = 0.0
) -> Tensor:
    """The sum over tokens of the cross-entropy of `x @ weight.T` (float32 scalar), targets of -100 left out.

    Args:
        x_ND: features; under autocast products are made in its precision, softmax and sums always in float32.
        weight_VD: the head's matrix.
        targets_N: int64.
        softcap: logits become softcap * tanh(logits / softcap) (Gemma 2, arXiv 2408.00118).
        z_loss: weight of the squared log of the softmax's sum, which keeps logits from drifting (PaLM, 2204.02311).
    """
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        x_ND = x_ND.to(torch.get_autocast_dtype(device))
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_ND, weight_VD, targets_N, softcap, z_loss
    )
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float | None, z_loss: float
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        head_VD = weight_VD.to(x_ND.dtype)
        rows = max(1, CHUNK_BYTES // (4 * len(head_VD)))
        dx_ND = torch.empty_like(x_ND) if wanted else None
        dhead_VD = torch.zeros_like(weight_VD, dtype=torch.float32) if wanted else None
        total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        for first in range(0, len(x_ND), rows):
            x_CD, targets_C = x_ND[first : first + rows], targets_N[first : first + rows]
            counted_C = (targets_C != IGNORED)[:, None]
            chosen_C1 = targets_C[:, None].clamp_min(0)
            logits_CV = (x_CD @ head_VD.mT).float()
            bent_CV = None
            if softcap is not None:
                bent_CV = logits_CV.div_(softcap).tanh_()
                logits_CV = bent_CV * softcap
            sums_C1 = logits_CV.logsumexp(-1, keepdim=True)
            losses_C1 = sums_C1 - logits_CV.gather(1, chosen_C1) + z_loss * sums_C1.square()
            total += losses_C1.masked_fill_(~counted_C, 0).sum()
            if dx_ND is None or dhead_VD is None:
                continue
            dlogits_CV = logits_CV.sub_(sums_C1).exp_()
            if z_loss:
                dlogits_CV.mul_(1 + 2 * z_loss * sums_C1)
            dlogits_CV.scatter_add_(1, chosen_C1, torch.full_like(sums_C1, -1.0))
            if bent_CV is not None:
                dlogits_CV.mul_(1 - bent_CV.square_())
            d_CV = dlogits_CV.mul_(counted_C).to(x_ND.dtype)
            torch.mm(d_CV, head_VD, out=dx_ND[first : first + rows])
            dhead_VD += d_CV.mT @ x_CD
        ctx.save_for_backward(dx_ND, dhead_VD)
        ctx.weight_dtype = weight_VD.dtype
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        dx_ND, dhead_VD = ctx.saved_tensors
        return dx_ND * d_loss.to(dx_ND.dtype), (dhead_VD * d_loss).to(ctx.weight_dtype), None, None, None
