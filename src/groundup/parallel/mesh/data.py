"""Data parallel: each process reads its part of a batch, and gradients are averaged over all of them.

    dp_replicate      every process holds the model whole (DDP, arXiv 2006.15704)
    dp_shard          every process holds a shard of each tensor, gathers a block's weights when their turn comes and
                      keeps its shard of the summed gradient (FSDP2; ZeRO-3, arXiv 1910.02054)
    both              shards within groups of `dp_shard`, copies between the groups (HSDP)

Processes that hold parts of one sequence (cp) hold the same weights, so weights are sharded over them as well.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.nn.parallel import DistributedDataParallel

from groundup.model.decoder import Block
from groundup.model.experts import Experts, SparseMLP
from groundup.parallel.device import DTYPES, Precision
from groundup.parallel.mesh import experts
from groundup.parallel.mesh.layout import Layout


def apply(root: nn.Module, layout: Layout, precision: Precision) -> nn.Module:
    """What to call instead of `root`: a module, of all or of a pipeline stage, that computes a loss or hands on."""
    parallel = layout.parallel
    if layout.dp_cp.size() == 1:
        return root
    if layout.dp_cp.size() == layout.mesh.size() == parallel.dp_replicate:
        return _replicated(root, layout)
    options: dict[str, Any] = {"offload_policy": _offload(layout)}
    experts.shard(root, layout, mp_policy=_policy(precision), **options)
    options["mesh"] = layout.replicas_and_shards
    # a matmul's output is never changed in place here
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
    for block in [module for module in root.modules() if isinstance(module, Block)]:
        fully_shard(_matrices(block), mp_policy=_policy(precision), **options)
    fully_shard(root, **options)
    return root


@contextmanager
def last_only(root: nn.Module, last: bool) -> Iterator[None]:
    """Around a micro-batch's forward and backward pass: processes exchange gradients only where it is the last one.

    Shards add up every micro-batch's gradient at once all the same: kept until the last one, it would take the memory
    of a whole copy, which sharding is there to save. Their copies exchange it at the last one.
    """
    if isinstance(root, DistributedDataParallel) and not last:
        with root.no_sync():
            yield
        return
    if isinstance(root, FSDPModule):
        root.set_requires_all_reduce(last)
        root.set_is_last_backward(last)
    yield


def reshard(root: nn.Module) -> None:
    """Give up the weights that a forward pass without a backward pass has left gathered."""
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _replicated(root: nn.Module, layout: Layout) -> DistributedDataParallel:
    with warnings.catch_warnings():
        # the new name of broadcast_buffers is not in all releases, and does not mean the same
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(
            root,
            process_group=layout.dp_cp.get_group(),
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            init_sync=False,  # every process has made the same model
        )


def _matrices(block: Block) -> list[nn.Module]:
    """The matrices of a layer, gathered together. Norms and routers, which are small and need full
    precision, are gathered with what belongs to no layer."""
    routers = [module.gate for module in block.modules() if isinstance(module, SparseMLP)]
    kinds = [module for module in block.modules() if isinstance(module, (nn.Linear, Experts))]
    return [module for module in kinds if module not in routers and not isinstance(module, FSDPModule)]


def _policy(precision: Precision) -> MixedPrecisionPolicy:
    """In bf16 and fp16 matrices are gathered as such, the numbers that autocast would make of them; gradients are
    summed in float32."""
    if precision == "fp32":
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=DTYPES[precision], reduce_dtype=torch.float32, cast_forward_inputs=False)


def _offload(layout: Layout) -> OffloadPolicy:
    if not layout.parallel.offload:
        return OffloadPolicy()
    return CPUOffloadPolicy(pin_memory=layout.device.type == "cuda")
