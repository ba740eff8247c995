"""The head and its loss where each process holds some rows of the head's matrix: no process ever has all logits.

    cross-entropy of a token  =  log of the sum over words of exp(logit)  -  logit of the target

Each process computes the logits of its own words; the largest one, the sum and the target's logit are found together,
three numbers per token instead of V (Megatron-LM, arXiv 1909.08053, section 3). As in `model/cross_entropy.py` a few
tokens are taken at a time, and gradients are worked out in the forward pass.

Suffixes as there; W: words of one process.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from groundup.model.cross_entropy import IGNORED, gradients_wanted, rows_at_once


def sharded_cross_entropy(
    x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, *, softcap: float | None = None, z_loss: float = 0.0
) -> Tensor:
    """Replaces `linear_cross_entropy`: the same from a matrix that is sharded by rows over the processes.

    Features, targets and the result are the same in all of them, and so is the gradient of the features.
    """
    assert isinstance(weight_VD, DTensor) and weight_VD.placements == (Shard(0),)
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        x_ND = x_ND.to(torch.get_autocast_dtype(device))
    mesh = weight_VD.device_mesh
    words = -(-len(weight_VD) // mesh.size())  # of every process but the last ones, as DTensor cuts
    first = mesh.get_local_rank() * words
    wanted = gradients_wanted(x_ND, weight_VD)
    loss: Tensor = _ShardedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_ND, weight_VD.to_local(), targets_N, softcap, z_loss, wanted, first, words, mesh.get_group()
    )
    return loss


class _ShardedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        weight_WD: Tensor,
        targets_N: Tensor,
        softcap: float | None,
        z_loss: float,
        wanted: bool,
        first: int,
        words: int,
        group: dist.ProcessGroup,
    ) -> Tensor:
        """`first` and `words`: this process's first word, and the most that any process has."""
        head_WD = weight_WD.to(x_ND.dtype)
        rows = rows_at_once(x_ND.dtype, 4 * words)  # as many in every process
        dx_ND = torch.empty_like(x_ND) if wanted else None
        dhead_WD = torch.zeros_like(weight_WD, dtype=torch.float32) if wanted else None
        total = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        for start in range(0, len(x_ND), rows):
            x_CD, targets_C1 = x_ND[start : start + rows], targets_N[start : start + rows, None]
            counted_C1 = targets_C1 != IGNORED
            own_C1 = (targets_C1 >= first) & (targets_C1 < first + len(head_WD))
            row_C1 = torch.where(own_C1, targets_C1 - first, 0)
            logits_CW = (x_CD @ head_WD.mT).float()
            bent_CW = None
            if softcap is not None:
                bent_CW = logits_CW.div_(softcap).tanh_()
                logits_CW = bent_CW * softcap
            max_C1 = logits_CW.amax(-1, keepdim=True)
            dist.all_reduce(max_C1, dist.ReduceOp.MAX, group)
            found_2C1 = torch.stack(
                (
                    (logits_CW - max_C1).exp().sum(-1, keepdim=True),
                    logits_CW.gather(1, row_C1).masked_fill_(~own_C1, 0),
                )
            )
            dist.all_reduce(found_2C1, group=group)
            sums_C1, chosen_C1 = found_2C1[0].log() + max_C1, found_2C1[1]
            losses_C1 = sums_C1 - chosen_C1 + z_loss * sums_C1.square()
            total += losses_C1.masked_fill_(~counted_C1, 0).sum()
            if dx_ND is None or dhead_WD is None:
                continue
            dlogits_CW = logits_CW.sub_(sums_C1).exp_()
            if z_loss:
                dlogits_CW.mul_(1 + 2 * z_loss * sums_C1)
            dlogits_CW.scatter_add_(1, row_C1, -own_C1.to(dlogits_CW.dtype))
            if bent_CW is not None:
                dlogits_CW.mul_(1 - bent_CW.square_())
            d_CW = dlogits_CW.mul_(counted_C1).to(x_ND.dtype)
            torch.mm(d_CW, head_WD, out=dx_ND[start : start + rows])
            dhead_WD += d_CW.mT @ x_CD
        if dx_ND is not None:
            dist.all_reduce(dx_ND, group=group)
        ctx.save_for_backward(dx_ND, dhead_WD)
        ctx.weight_dtype = weight_WD.dtype
        return total

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        dx_ND, dhead_WD = ctx.saved_tensors
        d_weight_WD = (dhead_WD * d_loss).to(ctx.weight_dtype)
        return dx_ND * d_loss.to(dx_ND.dtype), d_weight_WD, None, None, None, None, None, None, None
