"""Context parallelism for Megatron's model: each rank has some of the tokens of every row, and all keys and values.

The rows are cut into 2 x cp pieces, and rank r has pieces r and 2 cp - 1 - r, so that each attends about equally much
(Llama 3, arXiv 2407.21783, section 3.3.2: keys and values are gathered, since with grouped queries they are small).
Megatron's own ring needs Transformer Engine. Suffixes as in `layers.py`: S of T tokens are here.
"""

import torch
import torch.distributed as dist
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from torch import Tensor


def token_indices(T: int, rank: int, cp: int, device: torch.device) -> Tensor:
    """Which of T tokens rank `rank` has, int64 [T / cp]; T is a multiple of 2 cp."""
    all_T = torch.arange(T, device=device)
    if cp == 1:
        return all_T
    pieces = all_T.chunk(2 * cp)
    return torch.cat((pieces[rank], pieces[2 * cp - 1 - rank]))


def in_order(x_S: Tensor, group: dist.ProcessGroup) -> Tensor:
    """All ranks' tokens in the row's order, [T, ...], of each rank's [S, ...]; gradients are summed over the ranks."""
    cp = group.size()
    if cp == 1:
        return x_S
    x_T = gather_from_sequence_parallel_region(x_S, tensor_parallel_output_grad=True, group=group)
    order = torch.cat([token_indices(len(x_T), rank, cp, x_T.device) for rank in range(cp)])
    return x_T[order.argsort()]
