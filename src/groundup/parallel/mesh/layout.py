"""Which process has which coordinates: the degrees of the blueprint as a mesh with named dimensions.

Processes are numbered along the last dimension first, so those that talk most (tensor parallel) are neighbours:

    pp          stages of layers
    dp_replicate  copies of the model
    dp_shard    a copy's shards (FSDP); with dp_replicate, each reads its part of a batch
    cp          parts of every sequence
    tp          parts of every matrix

With pp = 2 and tp = 2, rank 3 is at pp 1, tp 1. What is summed over what:

    weights of micro-batches     over `dp` (dp_replicate x dp_shard): cp and tp read the same ones
    losses and gradients         over `dp_cp` (dp x cp): a loss is the sum of what its parts of the sequence give
    squares of gradients         over all processes, each parameter counted once (`clip.py`)
"""

import warnings
from functools import cached_property

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import DataRank

DIMENSIONS = ("pp", "dp_replicate", "dp_shard", "cp", "tp")


class Layout:
    """The mesh, and this process's coordinates in it. Making one is collective: every process of the job does."""

    def __init__(self, parallel: ParallelConfig, device: torch.device) -> None:
        self.parallel, self.device = parallel, device
        degrees = tuple(self.degree(name) for name in DIMENSIONS)
        self.mesh: DeviceMesh = init_device_mesh(device.type, degrees, mesh_dim_names=DIMENSIONS)
        self.dp: DeviceMesh = self.mesh["dp_replicate", "dp_shard"]._flatten("dp")
        self.dp_cp: DeviceMesh = self.mesh["dp_replicate", "dp_shard", "cp"]._flatten("dp_cp")
        self.shards: DeviceMesh = self.mesh["dp_shard", "cp"]._flatten("dp_shard_cp")

    def degree(self, name: str) -> int:
        """How many processes there are along a dimension."""
        degree: int = getattr(self.parallel, name)
        return degree

    def coordinate(self, name: str) -> int:
        """This process's rank along a dimension, from 0."""
        return self.mesh.get_local_rank(name)

    def rank_at(self, **coordinates: int) -> int:
        """The rank of the process at these coordinates, 0 where none is given."""
        rank = 0
        for name in DIMENSIONS:
            rank = rank * self.degree(name) + coordinates.get(name, 0)
        return rank

    def group(self, name: str) -> dist.ProcessGroup:
        """The processes along a dimension that differ from this one in nothing else."""
        return self.mesh.get_group(name)

    @property
    def replicas_and_shards(self) -> DeviceMesh:
        """What `fully_shard` takes: [copies, shards], or the shards alone where there are no copies."""
        if self.parallel.cp == 1:
            copies = self.parallel.dp_replicate > 1 or self.parallel.dp_shard == 1
            return self.mesh["dp_replicate", "dp_shard"] if copies else self.mesh["dp_shard"]
        if self.parallel.dp_replicate == 1:
            return self.shards
        with warnings.catch_warnings():  # there is no public way yet to what it recommends
            warnings.filterwarnings("ignore", "Slicing a flattened dim")
            return self.mesh["dp_replicate", "dp_shard_cp"]

    @cached_property
    def experts(self) -> DeviceMesh:
        """The same processes by which experts they keep, with dimensions `dp_replicate`, `expert_shards` (those of a
        copy that keep the same experts) and `ep`. Making it is collective."""
        pp, replicate, shard, cp, tp = (self.degree(name) for name in DIMENSIONS)
        ep = self.degree("ep")
        ranks = torch.arange(self.parallel.processes).view(pp, replicate, shard // ep, ep, cp, tp).transpose(3, 4)
        names = ("pp", "dp_replicate", "expert_shards", "ep", "tp")
        return DeviceMesh(self.device.type, ranks.flatten(2, 3), mesh_dim_names=names)

    @property
    def data_rank(self) -> DataRank:
        """Which part of a global batch this process reads; the same along pp, cp and tp."""
        return DataRank(self.dp.get_local_rank(), self.dp.size())

    @property
    def leader(self) -> bool:
        return self.rank == 0

    @cached_property
    def rank(self) -> int:
        return dist.get_rank()
