"""Attention: which keys a query sees, and the kernels that compute it. The cache of keys is in `cache.py`.

A query never sees later tokens. A sliding window hides keys that are too far back as well, and documents that
share a row (packing) do not see each other; both are one rule, `visible`, from which every kernel's mask is made.

| where | plain causal | with a window or documents |
|---|---|---|
| CPU | blocks of queries (`blockwise.py`) | the same, over the keys that a block sees |
| CUDA | FlashAttention 3 where installed, else PyTorch's SDPA | flex attention (block-sparse) |

FlashAttention 3 and flex attention on CUDA were not run where this was written; flex attention's rule is tested on a
CPU against the others. Suffixes name shapes: B batch, T tokens, H query heads, G key-value heads, K head size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from groundup.model.blockwise import attend_blockwise

FLEX_HEADS = (16, 32, 64, 128, 256)  # head sizes that flex attention's kernels take everywhere


class Kernel(ABC):
    """Passed instead of a mask: a way to attend that knows which keys are seen."""

    @abstractmethod
    def attend(self, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, dropout: float) -> Tensor:
        """[B, H, T, K]."""


class Blockwise(Kernel):
    """Blocks of queries on a CPU, with a window or documents."""

    def __init__(self, window: int | None = None, runs_BT: Tensor | None = None) -> None:
        self.window, self.runs_BT = window, runs_BT

    def attend(self, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, dropout: float) -> Tensor:
        if dropout:
            mask = tensor_mask(q_BHTK.shape[2], self.window, self.runs_BT, q_BHTK.device)
            return attend_eager(q_BHTK, k_BGTK, v_BGTK, mask, dropout)
        return attend_blockwise(q_BHTK, k_BGTK, v_BGTK, self.window, self.runs_BT)


Mask = Tensor | BlockMask | Kernel | None  # bool, true where seen, [B or 1, 1, T, T]; None: plain causal


def runs_of(documents_BT: Tensor) -> tuple[Tensor, Tensor]:
    """(run_BT, position_BT): runs of equal document ids, numbered along each row, and each token's position in its run.

    An id that comes again after another one is another document.
    """
    T = documents_BT.shape[1]
    starts_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    position_T = torch.arange(T, device=documents_BT.device)
    first_BT = torch.where(starts_BT, position_T, 0).cummax(1).values
    return starts_BT.cumsum(1), position_T - first_BT


def visible(window: int | None, runs_BT: Tensor | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The rule: whether, in a batch's row and head, query q sees key k. Its arguments broadcast."""

    def rule(row: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = k <= q
        if window is not None:
            seen = seen & (q - k < window)
        if runs_BT is not None:
            seen = seen & (runs_BT[row, q] == runs_BT[row, k])
        return seen

    return rule


def mask_of(T: int, window: int | None, runs_BT: Tensor | None, device: torch.device, flex: bool) -> Mask:
    """The mask of one forward pass for all layers with this window; None where causal attention is all.

    Args:
        flex: make blocks for flex attention, not a tensor.
    """
    if window is not None and window >= T:
        window = None
    if window is None and runs_BT is None:
        return None
    if flex:
        rows = None if runs_BT is None else len(runs_BT)
        return create_block_mask(visible(window, runs_BT), B=rows, H=None, Q_LEN=T, KV_LEN=T, device=str(device))
    if device.type == "cpu":
        return Blockwise(window, runs_BT)
    return tensor_mask(T, window, runs_BT, device)


def tensor_mask(T: int, window: int | None, runs_BT: Tensor | None, device: torch.device) -> Tensor:
    """Bool, true where seen, [B or 1, 1, T, T]."""
    rows = 1 if runs_BT is None else len(runs_BT)
    row_B = torch.arange(rows, device=device)[:, None, None, None]
    position_T = torch.arange(T, device=device)
    return visible(window, runs_BT)(row_B, row_B, position_T[:, None], position_T[None, :]).expand(rows, 1, T, T)


def flex_fits(device: torch.device, head_dim: int, dropout: float) -> bool:
    """Whether flex attention is the kernel for masks: on CUDA, for usual head sizes; it knows no dropout."""
    return device.type == "cuda" and head_dim in FLEX_HEADS and dropout == 0


def attend(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask: Mask = None, dropout: float = 0.0) -> Tensor:
    """Causal attention over whole sequences, [B, H, T, K], by the fastest kernel for the device."""
    if isinstance(mask, Kernel):
        return mask.attend(q_BHTK, k_BGTK, v_BGTK, dropout)
    if isinstance(mask, BlockMask):
        return attend_flex(q_BHTK, k_BGTK, v_BGTK, mask)
    if q_BHTK.device.type == "cpu" and mask is None:
        return Blockwise().attend(q_BHTK, k_BGTK, v_BGTK, dropout)
    if mask is None and dropout == 0 and flash3_takes(q_BHTK):
        return attend_flash3(q_BHTK, k_BGTK, v_BGTK)
    causal = mask is None
    return F.scaled_dot_product_attention(
        q_BHTK, k_BGTK, v_BGTK, attn_mask=mask, dropout_p=dropout, is_causal=causal, enable_gqa=True
    )


def attend_eager(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """The same with all scores held at once: the reference that kernels are tested against, and what knows dropout."""
    B, H, T, K = q_BHTK.shape
    G = k_BGTK.shape[1]
    scores = q_BHTK.reshape(B, G, H // G * T, K) @ k_BGTK.transpose(-1, -2)
    scores_BHTT = scores.view(B, H, T, T).float() * K**-0.5
    hidden = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(1) if mask is None else ~mask
    weights = scores_BHTT.masked_fill(hidden, float("-inf")).softmax(-1).to(v_BGTK.dtype)
    if dropout:
        weights = F.dropout(weights, dropout)
    return (weights.view(B, G, H // G * T, T) @ v_BGTK).view(B, H, T, K)


def attend_flex(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask: BlockMask) -> Tensor:
    """Attention that skips blocks of keys which no query of a block sees (arXiv 2412.05496)."""
    kernel: Callable[..., Any] = flex_attention
    if q_BHTK.device.type == "cuda":  # it is a kernel only when compiled: eagerly it computes all scores
        kernel = compiled_flex_attention()
    attended: Tensor = kernel(q_BHTK, k_BGTK, v_BGTK, block_mask=mask, enable_gqa=True)
    return attended


@cache
def compiled_flex_attention() -> Callable[..., Any]:
    """Compiled at its first use."""
    return torch.compile(flex_attention, dynamic=False)


@cache
def has_flash3() -> bool:
    """Whether FlashAttention 3 (arXiv 2407.08608) is installed; looked for once, and only on a machine with a GPU."""
    return find_spec("flash_attn_interface") is not None


def flash3_takes(q_BHTK: Tensor) -> bool:
    """FlashAttention 3 is made for Hopper, half precision and heads of at most 256."""
    if q_BHTK.device.type != "cuda" or q_BHTK.dtype not in (torch.bfloat16, torch.float16) or q_BHTK.shape[-1] > 256:
        return False
    return torch.cuda.get_device_capability(q_BHTK.device) == (9, 0) and has_flash3()


def attend_flash3(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor) -> Tensor:
    """Causal attention by FlashAttention 3, which wants [B, T, H, K]."""
    flash_attn_func = import_module("flash_attn_interface").flash_attn_func
    q, k, v = (x.transpose(1, 2) for x in (q_BHTK, k_BGTK, v_BGTK))
    attended = flash_attn_func(q, k, v, causal=True)
    attended = attended[0] if isinstance(attended, tuple) else attended  # early releases give the normaliser too
    out: Tensor = attended.transpose(1, 2)
    return out
