"""The parts of Megatron's layers that are ours: norms, attention itself, the sum into the residual stream.

Megatron's own norms and attention for machines without Transformer Engine refuse sequence parallelism, windows by
layer, packed documents and context parallelism; these are those of `groundup.model`, on Megatron's shapes. Suffixes:
T tokens of a row, S those of them that this process has (T over cp), B rows, D width, H query heads of this rank, G
key-value heads of this rank, K head size. Megatron puts tokens first: [S, B, D].
"""

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.module import MegatronModule
from torch import Tensor, nn

from groundup.model.attention import attend, flex_fits, mask_of, runs_of, visible
from groundup.model.configuration import LLMConfig
from groundup.model.rotary import Rotary, rotate
from groundup.parallel.megatron.context import in_order, token_indices


class MegatronRMSNorm(nn.RMSNorm):
    """Built with Megatron's arguments. Under sequence parallelism each rank sees a part of the tokens, so gradients
    are summed over the ranks: Megatron does that for parameters that are marked."""

    def __init__(self, config: Any, hidden_size: int, eps: float) -> None:
        super().__init__(hidden_size, eps)
        _mark(self, config)

    def forward(self, x: Tensor) -> Tensor:
        return _rounded(super().forward(x))


class MegatronLayerNorm(nn.LayerNorm):
    """The same for LayerNorm."""

    def __init__(self, config: Any, hidden_size: int, eps: float, bias: bool = True) -> None:
        super().__init__(hidden_size, eps, bias=bias)
        _mark(self, config)

    def forward(self, x: Tensor) -> Tensor:
        return _rounded(super().forward(x))


class HeadNorm(nn.RMSNorm):
    """Of queries and keys, head by head."""

    def __init__(self, config: Any, hidden_size: int, eps: float, epsilon: float) -> None:
        """`epsilon` is taken, `eps` is that of the norms in the stream."""
        super().__init__(hidden_size, epsilon)
        _mark(self, config)


def _mark(norm: nn.Module, config: Any) -> None:
    for parameter in norm.parameters():
        parameter.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]


def _rounded(x: Tensor) -> Tensor:
    """In autocast's precision, as the matmul after the norm takes it: half as much is sent between ranks."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


class CoreAttention(MegatronModule):  # type: ignore[misc]
    """Attention between projections, positions included.

    Instead of Megatron's mask it takes the documents' ids [B, T] (int64), or None where rows are one each.
    """

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        cp_comm_type: str | None = None,
        softmax_scale: float | None = None,
        pg_collection: Any = None,
        *,
        shape: LLMConfig,
        rotary: Rotary | None,
    ) -> None:
        """`rotary`: the one module shared by all layers of a stage."""
        super().__init__(config=config)
        self.rotary = rotary
        self.window, self.context = shape.window(layer_number - 1), shape.max_position_embeddings
        self.cp_group = pg_collection.cp

    def forward(
        self,
        q_SBHK: Tensor,
        k_SBGK: Tensor,
        v_SBGK: Tensor,
        documents_BT: Tensor | None,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """[S, B, H x K]."""
        cp, device = self.cp_group.size(), q_SBHK.device
        T = cp * len(q_SBHK)
        here_S = token_indices(T, self.cp_group.rank(), cp, device)
        runs_BT, positions_BS = None, here_S[None]
        if documents_BT is not None:
            runs_BT, positions_BT = runs_of(documents_BT)
            positions_BS = positions_BT[:, here_S]
        q_BHSK, k_BGSK = q_SBHK.permute(1, 2, 0, 3), k_SBGK.permute(1, 2, 0, 3)
        if self.rotary is not None:
            cos, sin = self.rotary(positions_BS.clamp(max=self.context - 1))  # past it there is only padding
            q_BHSK, k_BGSK = rotate(q_BHSK, cos, sin), rotate(k_BGSK, cos, sin)
        if cp == 1:
            mask = mask_of(T, self.window, runs_BT, device, flex_fits(device, q_BHSK.shape[-1], 0.0))
            y_BHSK = attend(q_BHSK, k_BGSK, v_SBGK.permute(1, 2, 0, 3), mask)
        else:
            y_BHSK = self._attend_here(q_BHSK, k_BGSK, v_SBGK, here_S, runs_BT)
        return y_BHSK.permute(2, 0, 1, 3).flatten(2)

    def _attend_here(
        self, q_BHSK: Tensor, k_BGSK: Tensor, v_SBGK: Tensor, here_S: Tensor, runs_BT: Tensor | None
    ) -> Tensor:
        """The tokens that are here attend over the keys and values of all ranks, [B, H, S, K]."""
        k_TBGK = in_order(k_BGSK.permute(2, 0, 1, 3).contiguous(), self.cp_group)
        v_TBGK = in_order(v_SBGK.contiguous(), self.cp_group)
        rows_B111 = torch.arange(1 if runs_BT is None else len(runs_BT), device=here_S.device)[:, None, None, None]
        all_T = torch.arange(len(k_TBGK), device=here_S.device)
        mask = visible(self.window, runs_BT)(rows_B111, rows_B111, here_S[:, None], all_T)
        k_BGTK, v_BGTK = k_TBGK.permute(1, 2, 0, 3), v_TBGK.permute(1, 2, 0, 3)
        if mask.dim() == 2:
            mask = mask[None, None]
        return F.scaled_dot_product_attention(q_BHSK, k_BGTK, v_BGTK, attn_mask=mask, enable_gqa=True)


def add_to_stream(training: bool, fused: bool) -> Any:
    """Megatron's "bias, dropout, add" without dropout. The stream stays in float32 where matmuls are in bf16."""

    def add(x_with_bias: tuple[Tensor, Tensor | None], stream: Tensor, dropout: float) -> Tensor:
        x, bias = x_with_bias
        return stream + (x if bias is None else x + bias)

    return add
