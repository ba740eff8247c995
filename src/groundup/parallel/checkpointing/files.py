"""Tensors in a folder of safetensors files, each written by one process, read back under any layout.

One process writes `tensors.safetensors`. Several write a file each with their parts of the tensors, through
torch.distributed.checkpoint; a part's offsets in the whole tensor are in the file's header. Both are read the same way:
every process reads the block of every tensor that it needs, from whichever files hold it. No pickle is involved.
"""

import warnings
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from groundup.parallel.checkpointing.crew import Crew
from groundup.parallel.checkpointing.part import Snapshot

if TYPE_CHECKING:
    from groundup.parallel.checkpointing.storage import TensorReader

TENSORS = "tensors.safetensors"


def write(parts: Snapshot, folder: Path, crew: Crew) -> None:
    """Write what the processes of the crew hold. What several of them hold is written by one.

    Raises:
        OSError: the disk is full or can't be written, here or in another process.
    """
    if crew.group is None:
        save_file({name: part.local for name, part in parts.items()}, folder / TENSORS)
        return
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    from groundup.parallel.checkpointing.storage import PartsPlanner

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        save(dict(parts), storage_writer=writer, planner=PartsPlanner(), process_group=crew.group)
    except CheckpointException as error:
        first, _ = next(iter(error.failures.values()))
        raise first if isinstance(first, OSError) else RuntimeError(str(error)) from error


class TensorFiles(Mapping[str, torch.Size]):
    """The tensors of a folder: names to shapes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._prefix = folder, ""

    def below(self, prefix: str) -> "TensorFiles":
        """Only the tensors whose names begin with `prefix`, under names without it."""
        narrower = copy(self)
        narrower._prefix += prefix
        return narrower

    def __getitem__(self, name: str) -> torch.Size:
        return self._reader.stored(self._prefix + name).size

    def __iter__(self) -> Iterator[str]:
        names = self._reader.metadata.state_dict_metadata
        return (name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def tensor(self, name: str) -> Tensor:
        """One tensor, whole, on the CPU; no other process is needed."""
        tensor = self._empty(name)
        self.read_into({name: tensor})
        return tensor

    def whole(self) -> dict[str, Tensor]:
        """All tensors, whole, on the CPU; no other process is needed."""
        tensors = {name: self._empty(name) for name in self}
        self.read_into(tensors)
        return tensors

    def read_into(self, tensors: Mapping[str, Tensor]) -> None:
        """Read into tensors of any device, and of DTensors the part that this process holds.

        Raises:
            KeyError: a tensor is not there.
            ValueError: one has another shape.
        """
        from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
        from torch.distributed.checkpoint.state_dict_loader import load

        for name in tensors:
            self[name]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # no process needs another to read
            load(
                {self._prefix + name: tensor.detach() for name, tensor in tensors.items()},
                storage_reader=self._reader,
                planner=DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False),
                no_dist=True,
            )

    def _empty(self, name: str) -> Tensor:
        stored = self._reader.stored(self._prefix + name)
        return torch.empty(stored.size, dtype=stored.properties.dtype)

    @cached_property
    def _reader(self) -> "TensorReader":
        from groundup.parallel.checkpointing.storage import TensorReader

        return TensorReader(str(self.folder))
