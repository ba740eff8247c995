"""Causal attention on a CPU: a block of queries at a time, over the keys that the block sees and no others.

PyTorch's flash kernel for CPUs works through pairs of blocks in code of its own. Here the matmuls are the library's,
on blocks large enough for them, and what lies above the diagonal, outside a window or in documents that have ended is
never computed. Up to `KEPT` tokens the softmax's weights are kept for the backward pass; of longer rows it makes them
again, as FlashAttention does (arXiv 2205.14135), so that memory grows with T and not with its square.

Suffixes: B batch, G key-value heads, R query heads of one key-value head, N = B G, T tokens, C queries of a block,
M = R C, S keys that a block sees, K head size.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK = 128  # queries of a block at most: fewer make small matmuls, more compute much that nothing sees
KEPT = 512  # tokens of a row up to which weights are kept


def attend_blockwise(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, window: int | None = None, runs_BT: Tensor | None = None
) -> Tensor:
    """softmax(q k^T / sqrt(K) where seen) v, [B, H, T, K], in the dtype of its arguments.

    Sums are float32 within each matmul and each softmax, whose results have the arguments' dtype.

    Args:
        window: how many tokens a query sees, itself included; None: all before it.
        runs_BT: which document a token is of, as `runs_of` numbers them; a query sees its own alone. None: one.
    """
    attended: Tensor = _Blockwise.apply(q_BHTK, k_BGTK, v_BGTK, window, runs_BT)  # type: ignore[no-untyped-call]
    return attended


class _Block(NamedTuple):
    """Queries first to last, the first key that any of them sees; hidden, bool [B or 1, C, S]."""

    first: int
    last: int
    key: int
    hidden: Tensor


def _blocks(T: int, window: int | None, runs_BT: Tensor | None) -> Iterator[_Block]:
    size = BLOCK if T > 2 * BLOCK else BLOCK // 2
    position_T = torch.arange(T)
    for first in range(0, T, size):
        last = min(T, first + size)
        key = 0 if window is None else max(0, first - window + 1)
        if runs_BT is not None and not torch.compiler.is_compiling():  # which can't take shapes from numbers
            # as far back as the earliest of the rows' documents that reach into the block
            key += int((runs_BT[:, key : first + 1] == runs_BT[:, first, None]).any(0).int().argmax())
        q_C1, k_S = position_T[first:last, None], position_T[key:last]
        hidden = k_S > q_C1
        if window is not None:
            hidden |= q_C1 - k_S >= window
        if runs_BT is None:
            yield _Block(first, last, key, hidden[None])
        else:
            yield _Block(first, last, key, hidden | (runs_BT[:, first:last, None] != runs_BT[:, None, key:last]))


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, window: int | None, runs_BT: Tensor | None
    ) -> Tensor:
        B, H, T, K = q_BHTK.shape
        G = k_BGTK.shape[1]
        q_NRTK = (q_BHTK * K**-0.5).reshape(B * G, H // G, T, K)
        k_NTK, v_NTK = k_BGTK.reshape(B * G, T, K), v_BGTK.reshape(B * G, T, K)
        y_BTHK = q_BHTK.new_empty(B, T, H, K)  # the layout that the output projection takes
        kept = []
        for block in _blocks(T, window, runs_BT):
            weights_NMS = _weights(q_NRTK, k_NTK, block, B)
            y_NMK = torch.bmm(weights_NMS, v_NTK[:, block.key : block.last])
            y_BTHK[:, block.first : block.last] = y_NMK.view(B, H, -1, K).transpose(1, 2)
            if T <= KEPT:
                kept.append(weights_NMS)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(q_NRTK, k_NTK, v_NTK, runs_BT, *kept)
            ctx.window, ctx.shape = window, (B, H, G, T, K)
        return y_BTHK.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, dy_BHTK: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q_NRTK, k_NTK, v_NTK, runs_BT, *kept = ctx.saved_tensors
        B, H, G, T, K = ctx.shape
        dq_BTHK = q_NRTK.new_empty(B, T, H, K)
        sums = torch.promote_types(q_NRTK.dtype, torch.float32)  # several blocks add to each key
        dk_NTK, dv_NTK = (torch.zeros(B * G, T, K, dtype=sums) for _ in range(2))
        for index, block in enumerate(_blocks(T, ctx.window, runs_BT)):
            seen = slice(block.key, block.last)
            q_NMK = q_NRTK[:, :, block.first : block.last].flatten(1, 2)
            dy_NMK = dy_BHTK[:, :, block.first : block.last].reshape(B * G, -1, K)
            weights_NMS = kept[index] if kept else _weights(q_NRTK, k_NTK, block, B)
            _add_matmul(dv_NTK[:, seen], weights_NMS.mT, dy_NMK)
            dweights_NMS = torch.bmm(dy_NMK, v_NTK[:, seen].mT)
            dscores_NMS = torch._softmax_backward_data(dweights_NMS, weights_NMS, -1, weights_NMS.dtype)
            dq_NMK = torch.bmm(dscores_NMS, k_NTK[:, seen])
            dq_BTHK[:, block.first : block.last] = dq_NMK.view(B, H, -1, K).transpose(1, 2)
            _add_matmul(dk_NTK[:, seen], dscores_NMS.mT, q_NMK)
        dk_BTGK, dv_BTGK = (
            grad.view(B, G, T, K).transpose(1, 2).to(q_NRTK.dtype, memory_format=torch.contiguous_format)
            for grad in (dk_NTK, dv_NTK)
        )
        dq_BTHK *= K**-0.5
        return dq_BTHK.transpose(1, 2), dk_BTGK.transpose(1, 2), dv_BTGK.transpose(1, 2), None, None


def _weights(q_NRTK: Tensor, k_NTK: Tensor, block: _Block, B: int) -> Tensor:
    """The softmax's weights [N, M, S] of a block."""
    N, R = q_NRTK.shape[:2]
    hidden = torch.zeros(block.hidden.shape, dtype=q_NRTK.dtype).masked_fill_(block.hidden, float("-inf"))
    q_NMK, keys_NKS = q_NRTK[:, :, block.first : block.last].flatten(1, 2), k_NTK[:, block.key : block.last].mT
    if len(hidden) == 1:  # added within the matmul, at next to no cost
        scores_NMS = torch.baddbmm(hidden.repeat(1, R, 1), q_NMK, keys_NKS)
    else:
        scores_NMS = torch.bmm(q_NMK, keys_NKS)
        scores_NMS.view(B, N // B, R, *hidden.shape[1:]).add_(hidden[:, None, None])
    return scores_NMS.softmax(-1)


def _add_matmul(sum_NSK: Tensor, a_NSM: Tensor, b_NMK: Tensor) -> None:
    """Add a b to the sum, in its dtype."""
    if a_NSM.dtype == sum_NSK.dtype:
        sum_NSK.baddbmm_(a_NSM, b_NMK)
    else:
        sum_NSK += torch.bmm(a_NSM, b_NMK)
