"""Context parallelism: every row of tokens is spread over `cp` processes, each of which holds some of its tokens.

All of a decoder but attention looks at one token at a time, so it runs on a process's own tokens as it is. For
attention each process keeps its own queries and is given everybody's keys and values (one all-gather per layer;
its backward is a reduce-scatter of their gradients), as Llama 3 does (arXiv 2407.21783, section 3.3.2). The other
way, passing blocks of keys around a ring (arXiv 2310.01889), sends as many bytes and holds fewer at a time, but needs
kernels that give their normaliser and know masks; here the fast kernels stay as they are, and sliding windows,
documents and grouped heads cost nothing extra. Under activation checkpointing the gathered keys and values are
gathered again in the backward pass instead of kept, and `selective` doesn't compute attention twice for it.

A later token sees more than an early one. So that every process has the same work, a row is cut into 2 x cp equal
chunks, and process r holds chunks r and 2 cp - 1 - r (as in Llama 3). With cp = 2 and eight tokens:

    tokens      0 1 | 2 3 | 4 5 | 6 7
    process      0     1     1     0        queries of process 0 see 1 + 2 + 7 + 8 keys, of process 1 3 + 4 + 5 + 6

Micro-batches come whole. One that knows how to be cut (it has `tokens_at`, as pretraining's) is cut before the loss
sees it, and a process computes the loss of its tokens alone. Of any other (answers, pairs, rollouts) the decoder is
given its part of the tokens and then gathers the features of all, so that every objective stays as it is; the loss is
then computed `cp` times, and counts `1 / cp` each time.

The same code runs on CUDA, by PyTorch's SDPA where attention is plain causal, and by flex attention under a window or
documents; it was tested on a CPU alone. Suffixes as in `model/attention.py`; L: a process's tokens of a row.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, Self, runtime_checkable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from groundup.errors import GroundupError
from groundup.model.attention import (
    Kernel,
    attend_flash3,
    attend_flex,
    flash3_takes,
    flex_fits,
    runs_of,
    visible,
)
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import Decoder, DecoderSeams
from groundup.model.inputs import DecoderInputs, LayerInputs, check_length
from groundup.parallel.mesh.layout import Layout

ChunkMask = Tensor | BlockMask | None  # bool [B or 1, 1, C, S], true where seen; None: up to oneself


@runtime_checkable
class Cuttable(Protocol):
    """A micro-batch whose loss is a sum over tokens, each with its own target."""

    def decoder_inputs(self) -> tuple[Tensor, Tensor | None]:
        """(token ids [B, T], documents [B, T])."""

    def tokens_at(self, columns_L: Tensor) -> Self:
        """These columns of every row, in this order, with their targets and documents."""


def columns(length: int, rank: int, size: int, device: torch.device | None = None) -> Tensor:
    """The columns of a row of `length` tokens, a multiple of 2 x size, that process `rank` of `size` holds, ascending,
    int64 [L]."""
    assert length % (2 * size) == 0
    chunk = length // (2 * size)
    head, tail = rank * chunk, (2 * size - 1 - rank) * chunk
    return torch.cat([torch.arange(first, first + chunk, device=device) for first in (head, tail)])


def apply(model: nn.Module, layout: Layout) -> "ContextParallel":
    """Spread the rows of a model's decoder over the processes of `cp`; nothing changes where that is one.

    Raises:
        GroundupError: the model doesn't hold one decoder.
    """
    context = ContextParallel(layout)
    if context.size > 1:
        decoders = [module for module in model.modules() if isinstance(module, Decoder)]
        if len(decoders) != 1:
            raise GroundupError(f"cp takes a model with one decoder, not {len(decoders)}", do="set parallel.cp to 1")
        context.config, decoders[0].seams = decoders[0].config, context
    return context


class ContextParallel(DecoderSeams):
    """Cuts rows before a decoder's layers, and gathers features after them."""

    config: LLMConfig

    def __init__(self, layout: Layout) -> None:
        self.group, self.rank, self.size = layout.group("cp"), layout.coordinate("cp"), layout.degree("cp")
        self.pipeline = layout.degree("pp") > 1
        sequence = layout.degree("tp") if layout.parallel.sequence_parallel else 1
        self.multiple = self.size * math.lcm(2, sequence)  # of tokens, into which a row can be cut
        self.whole = True  # whether the decoder is given whole rows, and returns features of whole rows

    @contextmanager
    def parts_of(self, batch: Sequence[Any]) -> Iterator[tuple[list[Any], int]]:
        """Within it losses are computed of (these micro-batches; how often each then counts in a sum over `cp`).

        Raises:
            GroundupError: the rows can't be cut evenly, or not at all and layers are spread as well.
        """
        if self.size == 1:
            yield list(batch), 1
            return
        if not all(isinstance(micro_batch, Cuttable) for micro_batch in batch):
            if self.pipeline:
                raise GroundupError(
                    "cp within a pipeline is for pretraining: other losses need the features of whole rows",
                    where="parallel",
                    do="set pp or cp to 1",
                )
            yield list(batch), self.size
            return
        self.whole = False
        try:
            yield [self._part_of(micro_batch) for micro_batch in batch], 1
        finally:
            self.whole = True

    def _part_of(self, micro_batch: Cuttable) -> Cuttable:
        length = micro_batch.decoder_inputs()[0].shape[1]
        check_length(length, self.config)
        if length % self.multiple:
            self._refuse(length)
        return micro_batch.tokens_at(columns(length, self.rank, self.size))

    def prepare(self, decoder: Decoder, inputs: DecoderInputs) -> LayerInputs:
        """This process's columns, padding included, with their positions in whole rows and kernels that see those.

        Raises:
            GroundupError: whole rows are longer than the context.
        """
        if inputs.cache is not None:
            return super().prepare(decoder, inputs)
        device = inputs.ids_BT.device
        if self.whole:
            length = inputs.ids_BT.shape[1]
            check_length(length, self.config)
            added = -length % self.multiple
            inputs = inputs.padded(added).at(columns(length + added, self.rank, self.size, device))
        T = inputs.ids_BT.shape[1] * self.size
        own_L = columns(T, self.rank, self.size, device)
        positions_BL, runs_BT = own_L[None], None
        if inputs.documents_BT is not None:
            runs_BT, positions_BT = runs_of(gather(inputs.documents_BT, 1, self.group))
            positions_BL = positions_BT[:, own_L]
        flex = flex_fits(device, self.config.head_dim, self.config.attention_dropout if decoder.training else 0.0)
        masks = {
            window: SpreadAttention(T, window, runs_BT, self.group, device, flex) for window in set(decoder.windows)
        }
        positions_BL = positions_BL.clamp(max=self.config.max_position_embeddings - 1)  # padding may reach beyond it
        return LayerInputs(**vars(inputs), positions_BT=positions_BL, masks=masks)

    def finish(self, decoder: Decoder, x_BTD: Tensor, inputs: DecoderInputs) -> Tensor:
        """Features of whole rows [B, T, D], or of parts [B, L, D]."""
        features = super().finish(decoder, x_BTD, inputs)
        if inputs.cache is not None or not self.whole:
            return features
        return gather(features, 1, self.group)[:, : inputs.ids_BT.shape[1]]

    def _refuse(self, length: int) -> NoReturn:
        shorter = length - length % self.multiple
        near = [n for n in (shorter, shorter + self.multiple) if n]
        raise GroundupError(
            f"rows of {length} tokens can't be cut into {self.multiple} equal parts",
            where="parallel.cp",
            do=f"take a context of {' or '.join(map(str, near))} tokens, or another cp",
        )


class SpreadAttention(Kernel):
    """This process's queries, two chunks of every row, over the keys of whole rows. Made once for all layers alike."""

    def __init__(
        self,
        length: int,
        window: int | None,
        runs_BT: Tensor | None,
        group: dist.ProcessGroup,
        device: torch.device,
        flex: bool,
    ) -> None:
        self.group = group
        self.chunk = length // (2 * group.size())
        self.seen: list[tuple[int, int, ChunkMask]] = []  # of each chunk: its keys' start and end, and the mask
        for number in (group.rank(), 2 * group.size() - 1 - group.rank()):
            start, end = number * self.chunk, (number + 1) * self.chunk
            first = 0 if window is None else max(0, start - window + 1)
            self.seen.append((first, end, chunk_mask(first, start, end, window, runs_BT, device, flex)))

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # it waits for other processes
    def attend(self, q_BHLK: Tensor, k_BGLK: Tensor, v_BGLK: Tensor, dropout: float) -> Tensor:
        """[B, H, L, K], L being both chunks one after the other."""
        both_L2BGK = torch.stack((k_BGLK.movedim(2, 0), v_BGLK.movedim(2, 0)), 1)
        k_BGTK, v_BGTK = gather(both_L2BGK, 0, self.group).movedim(0, 3).unbind()
        parts = [
            attend_last(q_BHCK, k_BGTK[:, :, first:end], v_BGTK[:, :, first:end], mask, dropout)
            for q_BHCK, (first, end, mask) in zip(q_BHLK.chunk(2, 2), self.seen, strict=True)
        ]
        return torch.cat(parts, 2)


def chunk_mask(
    first: int, start: int, end: int, window: int | None, runs_BT: Tensor | None, device: torch.device, flex: bool
) -> ChunkMask:
    """Which of the keys `first` to `end` the queries `start` to `end` see; None: those up to themselves."""
    if window is not None and window >= end:
        window = None
    if window is None and runs_BT is None and (start == first or device.type == "cuda"):
        return None
    rule, rows = visible(window, runs_BT), None if runs_BT is None else len(runs_BT)
    if flex:

        def shifted(row: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return rule(row, head, q + start, k + first)

        return create_block_mask(shifted, B=rows, H=None, Q_LEN=end - start, KV_LEN=end - first, device=str(device))
    row_B = torch.arange(rows or 1, device=device)[:, None, None, None]
    key_S = torch.arange(first, end, device=device)
    mask = rule(row_B, row_B, key_S[start - first :, None], key_S[None, :])
    return mask.expand(rows or 1, 1, end - start, end - first)


def attend_last(q_BHCK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask: ChunkMask, dropout: float) -> Tensor:
    """Attention of the last C of S tokens over all S, [B, H, C, K]; with no mask each sees those up to itself."""
    if mask is None and q_BHCK.shape[2] < k_BGSK.shape[2]:
        if dropout == 0 and flash3_takes(q_BHCK):
            return attend_flash3(q_BHCK, k_BGSK, v_BGSK)
        mask = causal_lower_right(q_BHCK.shape[2], k_BGSK.shape[2])
    if isinstance(mask, BlockMask):
        return attend_flex(q_BHCK, k_BGSK, v_BGSK, mask)
    return F.scaled_dot_product_attention(
        q_BHCK, k_BGSK, v_BGSK, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, enable_gqa=True
    )


def gather(x: Tensor, dim: int, group: dist.ProcessGroup) -> Tensor:
    """Every process's tokens, in the order of the row, along `dim`; gradients are added up over the processes."""
    gathered: Tensor = _Gather.apply(x, dim, group)  # type: ignore[no-untyped-call]
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: dist.ProcessGroup) -> Tensor:
        ctx.dim, ctx.group = dim, group
        part = x.movedim(dim, 0).contiguous()
        parts = [torch.empty_like(part) for _ in range(group.size())]
        dist.all_gather(parts, part, group=group)
        heads, tails = zip(*(held.chunk(2) for held in parts), strict=True)
        return torch.cat((*heads, *reversed(tails))).movedim(0, dim)

    @staticmethod
    def backward(ctx: Any, d_whole: Tensor) -> tuple[Tensor, None, None]:
        size = ctx.group.size()
        chunks = d_whole.movedim(ctx.dim, 0).chunk(2 * size)
        parts = [torch.cat(pair) for pair in zip(chunks[:size], reversed(chunks[size:]), strict=True)]
        d_part = torch.empty_like(parts[0])
        dist.reduce_scatter(d_part, parts, group=ctx.group)
        return d_part.movedim(0, ctx.dim), None, None
