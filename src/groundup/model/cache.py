"""Keys and values of earlier tokens, in memory that is allocated once and written in place.

A cache has slots, one sequence in each. A forward pass works on some neighbouring slots and appends up to T tokens to
each of them, at the slot's own position; `Appended` describes such a pass to the decoder. A batch of prompts, a chunk
of one long prompt, and the next token of every sequence are the same thing with other numbers:

    slots 2 and 3 hold 5 and 9 tokens, and get 3 and 1 more       starts [5, 9]   counts [3, 1]   T = 3

Suffixes as in `attention.py`; L layers, S the positions that a pass looks at.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.model.attention import Mask, attend
from groundup.model.configuration import LLMConfig

BLOCK = 64  # positions that are looked at come in multiples: few shapes, for which libraries prepare once


class KeyValueCache:
    """Keys and values, each [L, slots, G, capacity + 1, K]; padding is written into the last position.

    Of a model with smear it holds the tokens too, [slots, capacity + 1].
    """

    def __init__(
        self, config: LLMConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        """`capacity`: tokens that a slot holds at most."""
        shape = (config.num_hidden_layers, slots, config.num_key_value_heads, capacity + 1, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.ids = torch.zeros(slots, capacity + 1, dtype=torch.long, device=device) if config.smear else None
        self.capacity = capacity

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of a slot into another."""
        for tensor in (self.keys, self.values):
            tensor[:, target, :, :length] = tensor[:, source, :, :length]
        if self.ids is not None:
            self.ids[target, :length] = self.ids[source, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` tokens of two slots."""
        for tensor in (self.keys, self.values):
            kept = tensor[:, one, :, :length].clone()
            tensor[:, one, :, :length] = tensor[:, other, :, :length]
            tensor[:, other, :, :length] = kept
        if self.ids is not None:
            self.ids[[one, other], :length] = self.ids[[other, one], :length]


class Appended:
    """Tokens that a pass appends to the slots `first`, `first + 1`, ... of a cache."""

    def __init__(
        self, cache: KeyValueCache, starts: Sequence[int], counts: Sequence[int], first: int = 0, width: int = 0
    ) -> None:
        """
        Args:
            starts: how many tokens each slot holds already.
            counts: how many are appended to each; the pass has the most of them as columns, padded on the right. Where
                it is 0 nothing is kept, and what the pass computes there means nothing.
            width: columns, where there are more of them.
        """
        ends = [start + count for start, count in zip(starts, counts, strict=True)]
        assert max(ends) <= cache.capacity, "a slot is full"
        device = cache.keys.device
        self.cache, self.slots, self.fresh = cache, slice(first, first + len(starts)), not any(starts)
        self.seen = min(-(-max(ends) // BLOCK) * BLOCK, cache.capacity)
        column_T = torch.arange(max(width, *counts), device=device)
        positions_BT = torch.tensor(starts, device=device)[:, None] + column_T
        kept_BT = column_T < torch.tensor(counts, device=device)[:, None]
        self._rows_B1 = torch.arange(self.slots.start, self.slots.stop, device=device)[:, None]
        self._columns_BT = torch.where(kept_BT, positions_BT, cache.capacity)
        self.positions_BT = positions_BT.clamp(max=cache.capacity - 1)  # also those of padding are in the context
        self._hidden: dict[int | None, Tensor] = {}  # by window: what each token does not see, bool [B, T, S]

    def tokens_before(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Append the tokens, and return the one before each with whether there is one, both [B, T]."""
        assert self.cache.ids is not None
        self.cache.ids[self._rows_B1, self._columns_BT] = ids_BT
        positions_BT = self.positions_BT
        return self.cache.ids[self._rows_B1, (positions_BT - 1).clamp(min=0)], positions_BT > 0

    def attend(
        self, layer: int, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, window: int | None, mask: Mask
    ) -> Tensor:
        """Append keys and values to a layer's slots, and attend over all that each slot holds; [B, H, T, K].

        Args:
            mask: for prompts alone (no slot holds anything), where it is faster to look at these tokens only.
        """
        cache = self.cache
        for tensor, new_BGTK in ((cache.keys, k_BGTK), (cache.values, v_BGTK)):
            tensor[layer][self._rows_B1, :, self._columns_BT] = new_BGTK.transpose(1, 2).to(tensor.dtype)
        if self.fresh:
            return attend(q_BHTK, k_BGTK, v_BGTK, mask)
        keys, values = (tensor[layer, self.slots, :, : self.seen] for tensor in (cache.keys, cache.values))
        if window not in self._hidden:
            distance_BTS = self.positions_BT[:, :, None] - torch.arange(self.seen, device=keys.device)
            self._hidden[window] = distance_BTS < 0
            if window is not None:
                self._hidden[window] |= distance_BTS >= window
        return attend_cached(q_BHTK, keys.to(q_BHTK.dtype), values.to(q_BHTK.dtype), self._hidden[window])


def attend_cached(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, hidden_BTS: Tensor) -> Tensor:
    """Attention of T tokens over S cached ones, [B, H, T, K]. Heads with the same keys are one matmul's rows."""
    B, H, T, K = q_BHTK.shape
    G, S = k_BGSK.shape[1:3]
    scores = q_BHTK.reshape(B, G, H // G * T, K) @ k_BGSK.transpose(-1, -2)
    scores_BGRTS = scores.view(B, G, H // G, T, S).float() * K**-0.5
    weights = F.softmax(scores_BGRTS.masked_fill_(hidden_BTS[:, None, None], float("-inf")), -1)
    out: Tensor = (weights.to(v_BGSK.dtype).view(B, G, H // G * T, S) @ v_BGSK).view(B, H, T, K)
    return out
