"""Micro-batches in the shapes that a pipeline takes: the same shape for a whole step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.errors import GroundupError
from groundup.model.attention import runs_of
from groundup.model.rotary import PADDING

PADDED = -2  # the document of our padding; -1 is that of padding which the batch has already


@dataclass(frozen=True)
class Padded:
    """A micro-batch's token ids, padded on the right and below, where nothing attends to the padding."""

    batch: Any  # as the loss knows it
    rows: int
    tokens: int
    idx_BT: Tensor
    positions_BT: Tensor  # in each document
    documents_BT: Tensor | None


def pad(batch: Sequence[Any], multiple: int, context: int, device: torch.device) -> list[Padded]:
    """All micro-batches with as many rows as the largest, as many tokens as the longest, a multiple of `multiple`.

    Args:
        context: positions past it belong to padding, and are set to its last one.

    Raises:
        GroundupError: what is trained does not say what goes through the decoder, so it can't be sent through a pipe.
    """
    inputs = [_decoder_inputs(micro_batch) for micro_batch in batch]
    rows = max(1, *(idx_BT.shape[0] for idx_BT, _ in inputs))
    longest = max(1, *(idx_BT.shape[1] for idx_BT, _ in inputs))
    if longest > context + PADDING:
        raise GroundupError(f"rows of {longest} tokens, the model's context has {context}", do="cut them into windows")
    tokens = longest + -longest % multiple
    packed = any(documents_BT is not None for _, documents_BT in inputs)
    found = []
    for micro_batch, (idx_BT, documents_BT) in zip(batch, inputs, strict=True):
        B, T = idx_BT.shape
        missing = (0, tokens - T, 0, rows - B)
        positions_BT, padded_BT = torch.arange(tokens, device=device).expand(rows, tokens), None
        if packed:
            if documents_BT is None:
                documents_BT = torch.zeros_like(idx_BT)
            padded_BT = F.pad(documents_BT.to(device), missing, value=PADDED)
            positions_BT = runs_of(padded_BT)[1]
        idx_BT = F.pad(idx_BT.to(device), missing)
        found.append(Padded(micro_batch, B, T, idx_BT, positions_BT.clamp(max=context - 1), padded_BT))
    return found


def _decoder_inputs(micro_batch: Any) -> tuple[Tensor, Tensor | None]:
    if not hasattr(micro_batch, "decoder_inputs"):
        raise GroundupError(
            f"a {type(micro_batch).__name__} can't be sent through Megatron's pipeline",
            where="parallel.engine",
            do="set it to torch for this stage",
        )
    inputs: tuple[Tensor, Tensor | None] = micro_batch.decoder_inputs()
    return inputs
