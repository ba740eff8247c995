"""Pretraining's own code on tensors without data, as one process of a layout whose other processes aren't there.

    fake process group   knows its size and rank; every exchange is done at once and moves nothing
    fake tensors         know their shape and type, and their storage; nothing is computed
    `LiveStorages`       adds up the storages that are alive, at every operator

So a laptop finds what doesn't fit together in a blueprint for hundreds of GPUs, and what each of them will hold: the
model is built, cut and sharded, and takes two optimizer steps, by the code that does so in earnest. Operators are those
of the CPU; a GPU's attention kernels keep as much, and what they need for a moment isn't counted.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.advice import check
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.mesh.layout import Layout
from groundup.parallel.mesh.process_group import quiet
from groundup.parallel.recompute import checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.parallel.torch_engine import TorchEngine
from groundup.planning.calibration import whole_batch
from groundup.planning.ranks import RankBatch
from groundup.training.configuration import PretrainConfig
from groundup.training.engines import needs_of, recomputed
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch, next_token_loss, targets_of

CPU, DEVICE = torch.device("cpu"), "GROUNDUP_DEVICE"
STEPS = 2  # the optimizer's state is made in the first one
LOOKS = 4  # at a storage, for each operator that makes one, on average
_SCALAR = torch.ops.aten._local_scalar_dense.default


@dataclass(frozen=True)
class RankHolds:
    """What a process holds in bytes, by part; the last part is what comes and goes in a step, at its most."""

    rank: int
    parameters: int
    """That this process keeps, over all of its shards."""
    memory: Mapping[str, int]

    @property
    def memory_bytes(self) -> int:
        return sum(self.memory.values())


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The bytes of all storages that operators under it have made and that are still alive, at the peak.

    An operator costs what it makes: a new storage is added, a dead one subtracted by its weak reference. Sharding
    empties and refills storages between operators, unseen. They are empty most of the time, so a look at all storages
    now and then finds them, and from then on they are asked for their size whenever bytes are added up: the peak of a
    second step is exact, that of a first one an upper bound.

    With fake tensors it also answers what only data could: every number that a tensor is asked for is 1.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive: dict[int, ref[Any]] = {}  # by the id of the storage
        self._sizes: dict[int, int] = {}
        self._resized: set[int] = set()
        self._bytes = 0  # of all, as last seen
        self._unseen = 0  # operators since all were looked at
        self.peak = 0

    @property
    def bytes(self) -> int:
        """Now. A storage that sharding has freed is alive, and empty."""
        self._unseen += 1
        if self._unseen > len(self._alive) / LOOKS:
            self._unseen = 0
            self._look(list(self._alive))
        else:
            self._look(list(self._resized))
        return self._bytes

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it comes back with this process's part
        if function is _SCALAR and isinstance(args[0], FakeTensor):
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if given and not any(isinstance(tensor, FakeTensor) for tensor in given):
            with unset_fake_temporarily():  # which ranks a mesh has, or tensors of a real rank
                result = function(*args, **(kwargs or {}))
        else:
            result = function(*args, **(kwargs or {}))
        fresh = False
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                fresh = fresh or id(storage) not in self._alive
                self._add(storage)
        if fresh:
            self.peak = max(self.peak, self.bytes)
        return result

    def _look(self, keys: Iterable[int]) -> None:
        for key in keys:
            known = self._alive.get(key)
            storage = known() if known is not None else None
            if storage is not None and (size := storage.nbytes()) != self._sizes[key]:
                self._resized.add(key)
                self._bytes += size - self._sizes[key]
                self._sizes[key] = size

    def _add(self, storage: Any) -> None:
        key = id(storage)
        if key in self._alive:
            return

        def gone(_: object) -> None:
            self._bytes -= self._sizes.pop(key)
            self._resized.discard(key)
            del self._alive[key]

        self._alive[key], self._sizes[key] = ref(storage, gone), storage.nbytes()
        self._bytes += self._sizes[key]


def dry_run(
    model: LLMConfig, config: PretrainConfig, parallel: ParallelConfig, precision: Precision, rank: int = 0
) -> RankHolds:
    """What the process `rank` holds while pretraining.

    Args:
        config: the `pretrain:` section, filled in.

    Raises:
        GroundupError: the model doesn't fit the layout, or its engine is another library's.
    """
    if parallel.engine != "torch":
        raise GroundupError(
            f"{parallel.engine} can't be tried without its processes",
            where="parallel.engine",
            do="plan without --dry-run: it has the memory by formula",
        )
    method = "fork" if sys.platform == "linux" else "spawn"
    with get_context(method).Pool(1) as pool:  # libraries remember process groups, so each try has a process of its own
        return pool.apply(_dry_run, (model, config, parallel, precision, rank))


def _dry_run(
    model: LLMConfig, config: PretrainConfig, parallel: ParallelConfig, precision: Precision, rank: int
) -> RankHolds:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor", UserWarning)  # deepcopy asks for it
    with _alone_as(rank, parallel) as layout, FakeTensorMode(allow_non_fake_inputs=True), LiveStorages() as storages:
        made = CustomLanguageModel(model, seed=0)
        checkpoint_blocks(made.model.layers, recomputed(config))
        check(parallel, needs_of(made, config, precision))
        optimizer = make_optimizer(config.optimizer)
        engine: TorchEngine
        if layout is None:
            # whole copies differ from one process in nothing but the rows that they read
            engine = SingleDevice(made, optimizer, CPU, precision, config.ema)
        else:
            engine = MeshEngine(made, optimizer, parallel, precision, config.ema, layout)
        del made
        batch = whole_batch(model, config, parallel)
        if parallel.pp == 1:  # a third micro-batch holds what the second did: gradients are added in place
            batch = replace(batch, micro_batches=min(batch.micro_batches, 2))
        return step_memory(engine, batch, storages, rank)


def ranks_to_try(parallel: ParallelConfig) -> list[int]:
    """The first process of each end of the pipeline: the ends hold most, and those next to them the same."""
    return [0] if parallel.pp == 1 else [0, parallel.processes - parallel.processes // parallel.pp]


def step_memory(engine: TorchEngine, batch: RankBatch, storages: LiveStorages, rank: int = 0) -> RankHolds:
    """Two steps under `storages`, on tokens of no meaning."""
    ids = torch.zeros(batch.rows, batch.sequence + 1, dtype=torch.long)
    micro = [TokenBatch(ids[:, :-1], ids[:, 1:]) for _ in range(batch.micro_batches)]
    weights = list(map(targets_of, micro))
    for _ in range(STEPS):
        storages.peak = 0
        engine.train_step(micro, weights, next_token_loss, 1e-3, 1.0)
    tensors = engine.tensors()
    memory = {
        "weights": _bytes(tensor for name, tensor in tensors.items() if name.startswith("model.")),
        "optimizer state": _bytes(value for state in engine.optimizer.state.values() for value in state.values()),
    }
    kept = sum(local(tensor).numel() for name, tensor in tensors.items() if name.startswith("model."))
    memory["gradients, activations, gathered weights, logits"] = max(0, storages.peak - sum(memory.values()))
    return RankHolds(rank, kept, memory)


def local(tensor: Tensor) -> Tensor:
    """This process's shard."""
    shard: Tensor = getattr(tensor, "_local_tensor", tensor)
    return shard


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(storage.nbytes() for storage in {local(tensor).untyped_storage() for tensor in tensors})


@contextmanager
def _alone_as(rank: int, parallel: ParallelConfig) -> Iterator[Layout | None]:
    """This process as one of a job whose others aren't there; its layout, made while tensors still have data."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if parallel.processes == parallel.dp_replicate:
        yield None
        return
    os.environ[DEVICE] = CPU.type
    quiet()
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=parallel.processes)
    layout = Layout(parallel, CPU)
    if parallel.ep > 1:
        _ = layout.experts
    yield layout
    dist.destroy_process_group()
