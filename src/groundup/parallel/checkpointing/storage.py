"""How torch.distributed.checkpoint is used: which parts a process saves, and headers that are read only once."""

from functools import cached_property

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType

from groundup.parallel.checkpointing.part import Part


class PartsPlanner(DefaultSavePlanner):
    """Plans the saving of a snapshot.

    The base class writes parts that several processes hold once, and checks that the parts of each tensor fill it.
    """

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)

    def create_local_plan(self) -> SavePlan:
        # where a tensor has fewer rows than there are processes, some have an empty part
        filled = {name: part for name, part in self.state_dict.items() if part.local.numel() or not part.shape.numel()}
        self.plan = SavePlan([_item(name, part) for name, part in filled.items()])
        return self.plan

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        part: Part = self.state_dict[index.fqn]
        return part.local


class TensorReader(HuggingFaceStorageReader):
    """Reads safetensors files; keeps their headers, since tensors are read one after the other."""

    @cached_property
    def metadata(self) -> Metadata:
        return super().read_metadata()

    def read_metadata(self) -> Metadata:
        return self.metadata

    def stored(self, name: str) -> TensorStorageMetadata:
        """Shape and type of a tensor; raises KeyError."""
        found = self.metadata.state_dict_metadata[name]
        assert isinstance(found, TensorStorageMetadata)
        return found


def _item(name: str, part: Part) -> WriteItem:
    offsets = torch.Size(part.offsets)
    return WriteItem(
        MetadataIndex(name, offsets),
        WriteItemType.SHARD,
        tensor_data=TensorWriteData(
            ChunkStorageMetadata(offsets, part.local.shape),
            TensorProperties.create_from_tensor(part.local),
            part.shape,
        ),
    )
