"""`linear.py`'s matmul with a matrix of which each process of a mesh dimension has some outputs, or some inputs.

PyTorch knows for its own operators alone what processes have to exchange. So each multiplies what it has, by oneDNN,
and what comes out says how it lies: outputs cut as the matrix is, or sums over inputs that are still to be added up.
"""

import torch.nn.functional as F
from torch import Tensor
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from groundup.model import linear


def spread_linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """x: [..., in], a DTensor of the mesh; returns a DTensor [..., out]. By PyTorch where oneDNN doesn't pay."""
    if not (isinstance(x, DTensor) and isinstance(weight_NK, DTensor)):
        return F.linear(x, weight_NK, bias_N)
    last = x.dim() - 1
    by_outputs = weight_NK.placements == (Shard(0),)
    by_inputs = weight_NK.placements == (Shard(1),) and bias_N is None  # which would be added once in each process
    needed: Placement = Replicate() if by_outputs else Shard(last)
    if not (by_outputs or by_inputs) or x.placements != (needed,):
        return F.linear(x, weight_NK, bias_N)
    part_x, part = x.to_local(grad_placements=[Partial() if by_outputs else needed]), weight_NK.to_local()
    bias = bias_N.to_local() if isinstance(bias_N, DTensor) else bias_N
    if not linear.onednn_pays(part_x, part) or part_x.numel() * len(part) < linear.MIN_ONEDNN:
        return F.linear(x, weight_NK, bias_N)
    y: Tensor = linear.OneDnnLinear.apply(part_x, part, bias)  # type: ignore[no-untyped-call]
    return DTensor.from_local(y, x.device_mesh, [Shard(last) if by_outputs else Partial()], run_check=False)
