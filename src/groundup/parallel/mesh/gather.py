"""Between shards and whole tensors: the state that a leader saves, what comes back from it, the model in one piece."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor

from groundup.parallel.mesh.layout import Layout


def split_groups(optimizer: torch.optim.Optimizer) -> None:
    """Give parameters of different meshes groups of their own: an optimizer takes a group's tensors in one operation,
    and that wants them laid out over one mesh."""
    groups = []
    for group in optimizer.param_groups:
        for mesh in dict.fromkeys(map(_mesh, group["params"])):  # equal ones, of which there may be several
            groups.append({**group, "params": [p for p in group["params"] if _mesh(p) == mesh]})
    optimizer.param_groups[:] = groups


def whole_of(tensor: Tensor, device: torch.device) -> Tensor:
    """All of a tensor, in every process of its mesh; collective."""
    if isinstance(tensor, DTensor):
        near = tensor.to(device)  # what is offloaded is gathered where the network reaches it
        assert isinstance(near, DTensor)
        return near.full_tensor()
    return tensor


def shard_of(whole: Tensor, like: Tensor) -> Tensor:
    """What this process holds of a whole tensor, laid out as `like` is."""
    if not isinstance(like, DTensor):
        return whole
    whole = whole.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def to_leader(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The whole tensors of all pipeline stages, on the CPU, in the leader; nothing in the others."""
    whole: dict[str, Tensor] = {}
    first = layout.rank == layout.rank_at(pp=layout.coordinate("pp"))  # of the stage: it speaks for it
    for name, tensor in tensors.items():
        gathered = whole_of(tensor, layout.device)
        if first:
            whole[name] = gathered.cpu()
    return _of_all_stages(whole, layout)


def everywhere(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The whole tensors of all pipeline stages, on each process's device."""
    whole: dict[str, Tensor] = {}
    for stage in range(layout.degree("pp")):
        source, mine = layout.rank_at(pp=stage), stage == layout.coordinate("pp")
        here = {name: whole_of(tensor, layout.device) for name, tensor in tensors.items()} if mine else {}
        whole |= dict(_broadcast(here, source, layout)) if layout.degree("pp") > 1 else here
    return whole


def skeleton(model: nn.Module) -> nn.Module:
    """A copy of a model without its weights, and without what has been put over its modules' forward passes."""
    weights = {id(parameter): nn.Parameter(parameter.to("meta")) for parameter in model.parameters()}
    bones = copy.deepcopy(model, dict[int, Any](weights))
    for module in bones.modules():
        module.__dict__.pop("forward", None)
    return bones


def filled(bones: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the skeleton with these weights; tied weights stay tied."""
    named = {id(parameter): weights[name] for name, parameter in bones.named_parameters()}
    return copy.deepcopy(bones, dict[int, Any]({key: nn.Parameter(weight.clone()) for key, weight in named.items()}))


def from_leader(tensors: Mapping[str, Tensor], layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """The leader's whole tensors, one after the other, in every process."""
    return _broadcast(tensors, 0, layout)


def _broadcast(tensors: Mapping[str, Tensor], source: int, layout: Layout) -> Iterator[tuple[str, Tensor]]:
    index = [[(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items()]]
    dist.broadcast_object_list(index, source)
    for name, shape, dtype in index[0]:
        if layout.rank == source:
            tensor = tensors[name].to(layout.device).contiguous()
        else:
            tensor = torch.empty(shape, dtype=dtype, device=layout.device)
        dist.broadcast(tensor, source)
        yield name, tensor


def _of_all_stages(whole: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """In the leader also what the first processes of the other stages have."""
    for stage in range(1, layout.degree("pp")):
        source = layout.rank_at(pp=stage)
        if layout.rank == source:
            index = [[(name, tensor.shape, tensor.dtype) for name, tensor in whole.items()]]
            dist.send_object_list(index, 0)
            for tensor in whole.values():
                dist.send(tensor.to(layout.device).contiguous(), 0)
        elif layout.leader:
            index = [[]]
            dist.recv_object_list(index, source)
            for name, shape, dtype in index[0]:
                tensor = torch.empty(shape, dtype=dtype, device=layout.device)
                dist.recv(tensor, source)
                whole[name] = tensor.cpu()
    return whole if layout.leader else {}


def _mesh(parameter: Tensor) -> DeviceMesh | None:
    return parameter.device_mesh if isinstance(parameter, DTensor) else None
