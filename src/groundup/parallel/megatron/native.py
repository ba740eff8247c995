"""Megatron-core's own checkpoints: weights, optimizer state and steps, written and read by all processes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.validation import StrictHandling
from megatron.core.distributed import DistributedDataParallel

from groundup.parallel.megatron.optimizer import Optimizer


def save(folder: Path, chunks: Sequence[DistributedDataParallel], optimizer: Optimizer) -> None:
    """Write into a fresh folder that every process sees. Collective."""
    if dist.get_rank() == 0:
        folder.mkdir(parents=True)
    dist.barrier()
    dist_checkpointing.save(_content(chunks, optimizer, loading=False), str(folder), content_metadata=CONTENT.copy())


def load(folder: Path, chunks: Sequence[DistributedDataParallel], optimizer: Optimizer) -> None:
    """Restore what `save` wrote, under this layout or another. Collective.

    Not for the distributed optimizer: over PyTorch's AdamW it stumbles over the count of steps (0.16.1).
    """
    wanted = _content(chunks, optimizer, loading=True)
    found = dist_checkpointing.load(wanted, str(folder), strict=StrictHandling.RAISE_UNEXPECTED)
    for key, chunk in _named(chunks).items():
        chunk.load_state_dict(found[key])
    optimizer.megatron.load_state_dict(found["optimizer"])


CONTENT = {"distrib_optim_sharding_type": "fully_reshardable"}  # state in the shapes of its weights


def _content(chunks: Sequence[DistributedDataParallel], optimizer: Optimizer, loading: bool) -> dict[str, Any]:
    about = CONTENT | {"dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True)}
    model = {key: chunk.module.sharded_state_dict(metadata=about) for key, chunk in _named(chunks).items()}
    state = optimizer.megatron.sharded_state_dict(dict(model), is_loading=loading, metadata=about)
    return model | {"optimizer": state}


def _named(chunks: Sequence[DistributedDataParallel]) -> dict[str, DistributedDataParallel]:
    """As Megatron-LM names the stages of a process."""
    if len(chunks) == 1:
        return {"model": chunks[0]}
    return {f"model{index}": chunk for index, chunk in enumerate(chunks)}
