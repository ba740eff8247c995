"""The part of a tensor that one process holds, copied to the CPU's memory so that training can continue."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """A block of a tensor."""

    local: Tensor  # on the CPU, contiguous
    offsets: tuple[int, ...]  # where the block begins in the whole tensor
    shape: torch.Size  # of the whole tensor

    @classmethod
    def of(cls, tensor: Tensor) -> "Part":
        """A copy of what this process holds of a tensor or DTensor."""
        shape, offsets = tensor.shape, (0,) * tensor.dim()
        if hasattr(tensor, "__create_chunk_list__"):  # a DTensor
            [block] = tensor.__create_chunk_list__()
            tensor, offsets = tensor.to_local(), tuple(block.offsets)  # type: ignore[attr-defined]
        copy = torch.empty(tensor.shape, dtype=tensor.dtype)
        return cls(copy.copy_(tensor.detach()), offsets, shape)


Snapshot = dict[str, Part]  # by canonical name


def snapshot(tensors: Mapping[str, Tensor]) -> Snapshot:
    """Copies of what this process holds of named tensors and DTensors."""
    return {name: Part.of(tensor) for name, tensor in tensors.items()}


def below(prefix: str, parts: Snapshot) -> Snapshot:
    """The same parts under longer names, so that several engines share a checkpoint."""
    return {f"{prefix}{name}": part for name, part in parts.items()}
