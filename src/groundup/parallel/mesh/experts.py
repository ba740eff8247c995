"""Expert parallelism: the experts of a mixture are spread over `ep` of the processes that share a copy of the model.

Each keeps E / ep experts. Tokens are of all processes, so a layer sends each token to where its experts are and back,
by two all-to-alls (GShard, arXiv 2006.16668). None is dropped: how many rows go where is exchanged first. With E = 4,
ep = 2 and rows already sorted by expert:

    process 0 has rows for experts 0 0 1 3, process 1 for 0 2 2
    sent         0: [0 0 1] to 0, [3] to 1              1: [0] to 0, [2 2] to 1
    received     0: [0 0 1][0] -> sorted 0 0 0 1        1: [3][2 2] -> sorted 2 2 3

An expert's gradient is of the tokens of its `ep` processes together; it is summed over the processes that hold the
same expert, dp_replicate x dp_shard / ep x cp of them, and those of dp_shard / ep x cp keep a shard of each of its
matrices (FSDP along the second dimension: the first is that of experts).

Experts are balanced over the tokens of a whole micro-batch, in whichever process they are: the sums in the
load-balancing loss are added up over all processes that hold tokens of it, with expert parallelism or without.

Suffixes as in `model/experts.py`; R: processes that experts are spread over, F: experts that one of them keeps.
"""

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from groundup.model.decoder import CustomLanguageModel
from groundup.model.experts import Experts, expert_mlps
from groundup.parallel.mesh.layout import Layout


def apply(model: nn.Module, layout: Layout) -> None:
    """Balance experts over all processes' tokens, and leave this process's where they are spread."""
    if isinstance(model, CustomLanguageModel) and model.config.num_experts:
        model.sum_routing = partial(sum_over_processes, layout)
    if layout.degree("ep") == 1:
        return
    for experts in [module for module in model.modules() if isinstance(module, Experts)]:
        spread(experts, layout.experts["ep"])


def sum_over_processes(layout: Layout, sums_3E: Tensor) -> Tensor:
    """Routing statistics of all processes' tokens, for the load-balancing loss.

    In validation each data-parallel replica has a micro-batch of its own, and only `cp` holds parts of it.
    """
    return summed(sums_3E, layout.dp_cp.get_group() if torch.is_grad_enabled() else layout.group("cp"))


def spread(experts: Experts, mesh: DeviceMesh) -> None:
    """Keep this process's experts of a layer, and send rows to theirs."""
    for name, whole in list(experts.named_parameters()):
        kept = distribute_tensor(whole.detach(), mesh, [Shard(0)], src_data_rank=None)
        experts.register_parameter(name, nn.Parameter(kept, requires_grad=whole.requires_grad))
    experts.compute = partial(exchange_and_compute, mesh.get_group())


def shard(root: nn.Module, layout: Layout, **options: Any) -> None:
    """Spread each matrix of a process's experts over the processes that keep the same ones; a no-op without `ep`.

    Args:
        options: of `fully_shard`, without the mesh.
    """
    if layout.degree("ep") == 1:
        return
    mesh = layout.experts["dp_replicate", "expert_shards"]
    for experts in [module for module in root.modules() if isinstance(module, Experts)]:
        fully_shard(experts, mesh=mesh, shard_placement_fn=lambda parameter: Shard(1), **options)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it waits for other processes
def exchange_and_compute(group: dist.ProcessGroup, experts: Experts, x_ND: Tensor, counts_E: Tensor) -> Tensor:
    """`Experts.compute` where they are spread: [N, D] of rows sorted by expert, `counts_E[e]` for expert e."""
    counts_RF = counts_E.view(group.size(), -1)
    coming_RF = torch.empty_like(counts_RF)  # rows for each of this process's experts, by where they come from
    dist.all_to_all_single(coming_RF, counts_RF, group=group)
    sent, received = counts_RF.sum(1).tolist(), coming_RF.sum(1).tolist()
    rows = exchange(x_ND, sent, received, group)
    numbers_F = torch.arange(coming_RF.shape[1], device=x_ND.device)
    order = numbers_F.repeat(group.size()).repeat_interleave(coming_RF.flatten()).argsort(stable=True)
    gate_up_FID, down_FDI = (local(matrix, group.size()) for matrix in (experts.gate_up_proj, experts.down_proj))
    y = expert_mlps(rows[order], coming_RF.sum(0), gate_up_FID, down_FDI, experts.act)
    return exchange(y[order.argsort()], received, sent, group)


def local(parameter: Tensor, size: int) -> Tensor:
    """This process's experts of a matrix, whose gradient is divided by the number of processes that it is of.

    Data parallel averages gradients: all others over all processes, this one over the `size` times fewer that keep the
    same experts. `FSDPModule.set_gradient_divide_factor` is for that, but divides twice where a shard is all there is.
    """
    assert isinstance(parameter, DTensor)
    kept: Tensor = parameter.to_local()
    if kept.requires_grad:
        kept.register_hook(lambda gradient: gradient / size)  # type: ignore[no-untyped-call]
    return kept


def exchange(x_ND: Tensor, sent: list[int], received: list[int], group: dist.ProcessGroup) -> Tensor:
    """Rows sent to each process of a group for rows received from each, [sum(received), D]; gradients go back."""
    exchanged: Tensor = _Exchange.apply(x_ND, sent, received, group)  # type: ignore[no-untyped-call]
    return exchanged


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, sent: list[int], received: list[int], group: dist.ProcessGroup) -> Tensor:
        ctx.sent, ctx.received, ctx.group = sent, received, group
        out = x_ND.new_empty((sum(received), *x_ND.shape[1:]))
        dist.all_to_all_single(out, x_ND.contiguous(), received, sent, group=group)
        return out

    @staticmethod
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, None, None, None]:
        return exchange(d_out, ctx.received, ctx.sent, ctx.group), None, None, None


def summed(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The sum over a group's processes. Each of their losses depends on it, so gradients are summed as well."""
    total: Tensor = _Summed.apply(x, group)  # type: ignore[no-untyped-call]
    return total


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor, None]:
        d_x = d_total.clone()
        dist.all_reduce(d_x, group=ctx.group)
        return d_x, None
