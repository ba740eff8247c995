"""Activation checkpointing: what the backward pass needs is computed a second time instead of kept (arXiv 1604.06174).

It is applied to a model from outside, block by block, and changes no result.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import (
    SAC_IGNORED_OPS,
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from groundup.model import linear

ActivationCheckpointing = Literal["none", "full", "selective"]

# What `selective` keeps: the results that cost most to compute for their size. The rest (norms, activations, rotations,
# scores) is computed again.
_KEPT = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten._scaled_mm.default,
        torch.ops.aten.linear.default,
        torch.ops.aten._scaled_dot_product_flash_attention.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops.aten._scaled_dot_product_efficient_attention.default,
        torch.ops.aten._scaled_dot_product_cudnn_attention.default,
        *linear.OPERATORS,
    }
)

# `selective` wants the same operators in both passes. Modules inside of a block that FSDP has sharded mark more for a
# profiler in the second one, by operators that compute nothing.
SAC_IGNORED_OPS |= {
    torch.ops.profiler._record_function_enter_new.default,
    torch.ops.profiler._record_function_exit._RecordFunction,
}


def checkpoint_blocks(blocks: nn.ModuleList, mode: ActivationCheckpointing) -> None:
    """Make each block forget its activations after the forward pass.

    `full` keeps only a block's input and runs the whole block again in the backward pass, a third more arithmetic in
    all; `selective` keeps the results of matmuls and of attention as well.
    """
    if mode == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if mode == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_matmuls)
    for block in blocks:
        block.forward = _checkpointed(block.forward, options)


def _checkpointed(forward: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    def again(*arguments: Any) -> Any:
        if not torch.is_grad_enabled():  # nothing is kept then anyway, and a cache must not be filled twice
            return forward(*arguments)
        return checkpoint(forward, *arguments, **options)

    return again


def _keep_matmuls(_context: Any, operator: Any, *_arguments: Any, **_options: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operator in _KEPT else CheckpointPolicy.PREFER_RECOMPUTE


@contextmanager
def activations_kept(model: nn.Module) -> Iterator[dict[int, int]]:
    """What a forward pass within it keeps for the backward pass: bytes by storage, without the model's weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept
