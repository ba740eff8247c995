"""A decoder whose steps are machine code (`kernel.py`): for a few rows one call, for many some calls between matmuls of
PyTorch's libraries. For dense models on a CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.inference.kernel import (
    GELU,
    GELU_TANH,
    GROUP,
    LAYER_NORM,
    RELU,
    RELU2,
    RMS_NORM,
    SILU,
    Shape,
    StepScratch,
    Weights,
    activate,
    add_and_norm,
    attend,
    decode_step,
)
from groundup.model.cache import KeyValueCache
from groundup.model.configuration import Activation
from groundup.model.decoder import Block, CustomLanguageModel
from groundup.model.linear import matmul
from groundup.model.lora import LoraLinear

MAX_ROWS = 8  # up to which the kernel's own matmuls are faster than those of PyTorch's libraries
_ACTIVATIONS: dict[Activation, int] = {
    "silu": SILU,
    "gelu": GELU,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "relu": RELU,
    "relu2": RELU2,
}
_NONE = np.zeros((0, 0), dtype=np.float32)


def supports(model: CustomLanguageModel) -> bool:
    """Whether the compiled step computes this model: dense, without ways around its layers, in a CPU's memory, and no
    subclass with other features."""
    own = type(model).features is not CustomLanguageModel.features
    plain = model.config.num_experts == 0 and not model.config.shortcuts
    return not own and plain and model.lm_head.weight.device.type == "cpu"


class CompiledDecoder:
    """A copy of a model's weights, as the kernel reads them.

    Args:
        int8: keep matrices as integers of 8 bits with a scale for each row: a quarter of the memory to read. Each
            weight is off by up to 1/254 of its row's largest.
    """

    def __init__(self, model: CustomLanguageModel, cache: KeyValueCache, *, int8: bool = False) -> None:
        assert supports(model) and cache.keys.dtype == torch.float32
        config = model.config
        self._model, self._int8 = model, int8
        self._weights, self._cache = self._packed(model), cache
        self._keys, self._values = cache.keys.numpy(), cache.values.numpy()
        self._shape = Shape(
            heads=config.num_attention_heads,
            groups=config.num_key_value_heads,
            head_dim=config.head_dim,
            gated=config.gated_mlp,
            activation=_ACTIVATIONS[config.hidden_act],
            norm=LAYER_NORM if config.norm == "layer_norm" else RMS_NORM,
            epsilon=config.layer_norm_epsilon if config.norm == "layer_norm" else config.rms_norm_eps,
            qk_epsilon=config.rms_norm_eps,
        )
        unlimited = cache.capacity + 1
        self._windows = np.array([window or unlimited for window in model.model.windows], dtype=np.int64)
        self._scratch: dict[int, tuple[StepScratch, NDArray[np.float32]]] = {}

    def refresh(self) -> None:
        """Read the model's weights again."""
        self._weights = self._packed(self._model)

    def takes(self, rows: int) -> bool:
        """Whether a step of so many rows is computed here; integers are for a few."""
        return rows <= MAX_ROWS or not self._int8

    def step(self, ids: Sequence[int], slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Append a token to each row's slot; float32 logits [N, V] of the next, valid until the next call.

        Args:
            positions: each token's own, that is, how many tokens are before it in its slot.
        """
        count = len(ids)
        rows = 1 if count == 1 else -(-count // GROUP) * GROUP
        ids_N, slots_N, positions_N = np.zeros((3, rows), dtype=np.int64)
        ids_N[:count], slots_N[:count], positions_N[:count] = ids, slots, positions
        slots_N[count:] = -1
        if rows > MAX_ROWS:
            logits = self._step_by_layers(ids_N, slots_N, positions_N)
        else:
            scratch, room = self._room(rows)
            decode_step(
                self._weights, self._shape, scratch, self._windows, self._keys, self._values,
                ids_N, slots_N, positions_N, room,
            )  # fmt: skip
            logits = torch.from_numpy(room)
        return self._model.scale_logits(logits[:count])

    def _step_by_layers(
        self, ids_N: NDArray[np.int64], slots_N: NDArray[np.int64], positions_N: NDArray[np.int64]
    ) -> Tensor:
        """The same for many rows: matmuls by PyTorch's libraries, the rest by the kernels."""
        weights, shape = self._weights, self._shape
        x = weights.embedding[ids_N]
        if weights.positions.size:
            x += weights.positions[positions_N]
        normed, nothing, scores = np.empty_like(x), np.zeros_like(x), np.empty(self._keys.shape[3], dtype=np.float32)
        attended = np.zeros((len(x), weights.o.shape[2]), dtype=np.float32)
        inner = weights.down.shape[2]
        add_and_norm(x, nothing, weights.attention_norm, weights.attention_norm_bias, 0, shape, normed)
        for layer, window in enumerate(self._windows):
            qkv = _linear(normed, weights.qkv, weights.qkv_bias, layer)
            attend(weights, shape, layer, window, self._keys, self._values, slots_N, positions_N, qkv, attended, scores)
            out = _linear(attended, weights.o, weights.o_bias, layer)
            add_and_norm(x, out, weights.mlp_norm, weights.mlp_norm_bias, layer, shape, normed)
            up = _linear(normed, weights.up, weights.up_bias, layer)
            activate(up, inner, shape)
            out = _linear(up[:, :inner], weights.down, weights.down_bias, layer)
            if layer + 1 < len(self._windows):
                gains, biases, following = weights.attention_norm, weights.attention_norm_bias, layer + 1
            else:
                gains, biases, following = weights.norm, weights.norm_bias, 0
            add_and_norm(x, out, gains, biases, following, shape, normed)
        return torch.from_numpy(_linear(normed, weights.head, _NONE, 0))

    def _room(self, rows: int) -> tuple[StepScratch, NDArray[np.float32]]:
        if rows not in self._scratch:
            config, weights = self._model.config, self._weights

            def room(*shape: int) -> NDArray[np.float32]:
                return np.zeros(shape, dtype=np.float32)

            D = config.hidden_size
            attended = config.num_attention_heads * config.head_dim
            scratch = StepScratch(
                x=room(rows, D),
                normed=room(rows, D),
                qkv=room(rows, weights.qkv.shape[1]),
                attended=room(rows, attended),
                out=room(rows, D),
                up=room(rows, weights.up.shape[1]),
                scores=room(self._cache.capacity + 1),
            )
            self._scratch[rows] = scratch, room(rows, config.vocab_size)
        return self._scratch[rows]

    def _packed(self, model: CustomLanguageModel) -> Weights:
        decoder = model.model
        blocks = [block for block in decoder.layers if isinstance(block, Block)]
        attention, mlps = [block.self_attn for block in blocks], list[Any](block.mlp for block in blocks)
        gated = model.config.gated_mlp

        def linear(layers: Sequence[Sequence[nn.Linear]]) -> tuple[NDArray, NDArray, NDArray]:
            """(matrices, their scales, biases) of modules that read the same input, a few in each layer."""
            matrices = np.stack([_rows(*map(_matrix, layer)) for layer in layers])
            biases = _NONE
            if layers[0][0].bias is not None:
                biases = np.stack([_rows(*(module.bias for module in layer)) for layer in layers])
            if not self._int8:
                return matrices, _NONE, biases
            scales = np.abs(matrices).max(-1) / 127
            scales[scales == 0] = 1
            return np.round(matrices / scales[..., None]).astype(np.int8), scales, biases

        def norms(modules: Sequence[Any]) -> tuple[NDArray, NDArray]:
            """(gains, biases)."""
            if modules[0] is None:
                return _NONE, _NONE
            biases = [getattr(module, "bias", None) for module in modules]
            there = [bias for bias in biases if bias is not None]
            stacked = np.stack([_rows(bias) for bias in there]) if there else _NONE
            return np.stack([_rows(module.weight) for module in modules]), stacked

        qkv, qkv_scale, qkv_bias = linear([(one.q_proj, one.k_proj, one.v_proj) for one in attention])
        o, o_scale, o_bias = linear([(one.o_proj,) for one in attention])
        up, up_scale, up_bias = linear([(one.gate_proj, one.up_proj) if gated else (one.up_proj,) for one in mlps])
        down, down_scale, down_bias = linear([(one.down_proj,) for one in mlps])
        head, head_scale, _ = linear([(model.lm_head,)])
        attention_norm, attention_norm_bias = norms([block.input_layernorm for block in blocks])
        mlp_norm, mlp_norm_bias = norms([block.post_attention_layernorm for block in blocks])
        norm, norm_bias = norms([decoder.norm])
        rotary, learned = decoder.rotary, decoder.embed_positions
        return Weights(
            embedding=_rows(decoder.normed(decoder.embed_tokens.weight)),
            positions=_NONE if learned is None else _rows(learned.weight),
            cos=_NONE if rotary is None else _rows(rotary.cos_TK),
            sin=_NONE if rotary is None else _rows(rotary.sin_TK),
            attention_norm=attention_norm,
            attention_norm_bias=attention_norm_bias,
            qkv=qkv,
            qkv_scale=qkv_scale,
            qkv_bias=qkv_bias,
            q_norm=norms([one.q_norm for one in attention])[0],
            k_norm=norms([one.k_norm for one in attention])[0],
            o=o,
            o_scale=o_scale,
            o_bias=o_bias,
            mlp_norm=mlp_norm,
            mlp_norm_bias=mlp_norm_bias,
            up=up,
            up_scale=up_scale,
            up_bias=up_bias,
            down=down,
            down_scale=down_scale,
            down_bias=down_bias,
            norm=norm,
            norm_bias=norm_bias,
            head=head,
            head_scale=head_scale,
        )


def _matrix(module: nn.Module) -> Tensor:
    """A linear module's matrix, with its adapter merged where it has one that is on."""
    if isinstance(module, LoraLinear) and module.enabled:
        return module.merged()
    assert isinstance(module.weight, Tensor)
    return module.weight


def _rows(*tensors: Tensor) -> NDArray[np.float32]:
    """Tensors below each other, as one contiguous array of float32."""
    found: NDArray[np.float32] = torch.cat([tensor.detach().float() for tensor in tensors]).contiguous().numpy()
    return found


def _linear(x: NDArray[np.float32], matrices: NDArray[np.float32], biases: NDArray, layer: int) -> NDArray[np.float32]:
    y: NDArray[np.float32] = matmul(torch.from_numpy(x), torch.from_numpy(matrices[layer]).mT).numpy()
    if biases.size:
        y += biases[layer]
    return y
