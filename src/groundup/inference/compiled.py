"""A decoder whose steps are machine code (`kernel.py`): a call for each thread, which has some of many rows, or a part
of the work on a few. For dense models on a CPU."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.inference.kernel import (
    GELU,
    GELU_TANH,
    LAYER_NORM,
    RELU,
    RELU2,
    RMS_NORM,
    SILU,
    Shape,
    StepScratch,
    ThreadPart,
    Weights,
    decode,
)
from groundup.kernels.helpers import Helpers
from groundup.kernels.matmul import HAS_BFLOAT16, packed, padded_columns
from groundup.kernels.meeting import GONE, POSSIBLE, meetings
from groundup.model.cache import KeyValueCache
from groundup.model.configuration import Activation, LLMConfig
from groundup.model.decoder import Block, CustomLanguageModel
from groundup.model.lora import LoraLinear

MAX_GUESSED = 8  # rows of a step with guesses: of more, a step takes longer than guessing saves
ROWS_OF_A_THREAD = 4  # a multiple of it: what the kernel multiplies at once
PROMPT_ROWS = 64  # of a pass over prompts; of more tokens PyTorch's matmuls are faster than its other work costs
SHARED_ROWS = 64  # up to so many rows may be several threads' work together: reading the weights is much of it
WORTH_A_THREAD = 500_000  # multiplications, for which another one may be worth meeting it
TOGETHER, APART = 0, 1  # ways of several threads: parts of the work on all rows; some of the rows each
AGAIN = 64  # steps after which the slower way is tried again
_ACTIVATIONS: dict[Activation, int] = {
    "silu": SILU,
    "gelu": GELU,
    "gelu_new": GELU_TANH,
    "gelu_pytorch_tanh": GELU_TANH,
    "relu": RELU,
    "relu2": RELU2,
}
_NONE = np.zeros((0, 0), dtype=np.float32)

# What the kernel computes, and what doesn't matter to it. A model that uses any other field is PyTorch's.
_COMPUTED = frozenset(
    """vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads
    max_position_embeddings head_dim tie_word_embeddings position_embedding rope_theta rope_scaling sliding_window
    layer_types norm rms_norm_eps layer_norm_epsilon norm_bias attention_bias qkv_bias qk_norm hidden_act gated_mlp
    mlp_bias embedding_norm final_logit_softcapping mup_base_width""".split()
)
_INDIFFERENT = frozenset(
    """num_experts_per_tok moe_intermediate_size norm_topk_prob router_aux_loss_coef decoder_sparse_step mlp_only_layers
    attention_dropout resid_pdrop embd_pdrop z_loss_coef qk_gain initializer_range fan_in embedding_std head_std
    zero_init_outputs""".split()
)


def supports(model: CustomLanguageModel, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the compiled step computes this model: of a configuration it knows, in a CPU's memory, in a precision
    that this processor multiplies, and no subclass with other features."""
    own = type(model).features is not CustomLanguageModel.features
    multiplied = dtype == torch.float32 or (dtype == torch.bfloat16 and HAS_BFLOAT16)
    return multiplied and not own and _knows(model.config) and model.lm_head.weight.device.type == "cpu"


def _knows(config: LLMConfig) -> bool:
    """Whether fields that the kernel has nothing for are off, that is, at their defaults."""
    others = set(LLMConfig.model_fields) - _COMPUTED - _INDIFFERENT
    return all(getattr(config, name) == LLMConfig.model_fields[name].default for name in others)


class Pace:
    """Which way several threads are faster here and now, for each number of rows. Both compute the same numbers.

    On an idle machine that is together, for few rows. Where others compute too, threads that meet wait for the one that
    has no processor at the moment, six times in each layer.

    >>> pace = Pace()
    >>> for seconds in (500.0, 2.0, 1.0, 2.0):  # the first compiles
    ...     pace.record(4, pace.choice(4), seconds)
    >>> pace.choice(4) == TOGETHER
    True
    """

    def __init__(self) -> None:
        self._steps: dict[int, list[list[float]]] = {}  # by number of rows: seconds of each way's two first steps
        self._seconds: dict[int, list[float]] = {}  # of a step of each way, as it is now
        self._chosen = 0

    def choice(self, rows: int) -> int:
        """The way of the next step: the faster one; a way that hasn't been tried twice yet, or not for long."""
        if rows not in self._seconds:
            tried = [len(steps) for steps in self._steps.get(rows, ([], []))]
            return TOGETHER if tried[TOGETHER] <= tried[APART] else APART
        self._chosen += 1
        together, apart = self._seconds[rows]
        faster = TOGETHER if together <= apart else APART
        return 1 - faster if self._chosen % AGAIN == 0 else faster

    def record(self, rows: int, way: int, seconds: float) -> None:
        """What a step took. A faster one counts at once, of slower ones later ones more: one alone may have waited for
        another program, or been the first, which compiles."""
        if (known := self._seconds.get(rows)) is not None:
            known[way] = min(seconds, 0.7 * known[way] + 0.3 * seconds)
            return
        steps = self._steps.setdefault(rows, [[], []])
        steps[way].append(seconds)
        if min(map(len, steps)) == 2:
            self._seconds[rows] = [min(both) for both in steps]


class CompiledDecoder:
    """A copy of a model's weights, as the kernel reads them.

    Args:
        cache: in float32, whatever the matrices are.
        dtype: of the matrices, and of what they are multiplied with: float32 or bfloat16. Sums are float32.
        int8: keep matrices as integers of 8 bits with a scale for each row: a quarter of the memory to read. Each
            weight is off by up to 1/254 of its row's largest. With float32.
    """

    def __init__(
        self,
        model: CustomLanguageModel,
        cache: KeyValueCache,
        *,
        dtype: torch.dtype = torch.float32,
        int8: bool = False,
    ) -> None:
        assert supports(model, dtype) and cache.keys.dtype == torch.float32
        config = model.config
        self._model, self._dtype, self._int8 = model, dtype, int8
        self._weights, self._cache = self._packed(model), cache
        self._keys, self._values = cache.keys.numpy(), cache.values.numpy()
        self._shape = Shape(
            heads=config.num_attention_heads,
            groups=config.num_key_value_heads,
            head_dim=config.head_dim,
            inner=config.intermediate_size,
            gated=config.gated_mlp,
            activation=_ACTIVATIONS[config.hidden_act],
            norm=LAYER_NORM if config.norm == "layer_norm" else RMS_NORM,
            epsilon=config.layer_norm_epsilon if config.norm == "layer_norm" else config.rms_norm_eps,
            qk_epsilon=config.rms_norm_eps,
        )
        unlimited = cache.capacity + 1
        self._windows = np.array([window or unlimited for window in model.model.windows], dtype=np.int64)
        matrices = (self._weights.qkv, self._weights.o, self._weights.up, self._weights.down, self._weights.head)
        self._multiplications = sum(one.size for one in matrices) * (2 if dtype == torch.bfloat16 else 1)  # of a row
        self._helpers, self._pace = Helpers(1), Pace()
        self._scratch = self._room(0)
        self._logits = self._zeros(0, config.vocab_size)

    def refresh(self) -> None:
        """Read the model's weights again."""
        self._weights = self._packed(self._model)

    def step(self, ids: Sequence[int], slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Append a token to each row's slot; float32 logits [N, V] of the next, valid until the next call.

        Args:
            positions: each token's own, that is, how many tokens are before it in its slot.
        """
        if len(ids) > len(self._logits):
            self._logits = self._zeros(len(ids), self._model.config.vocab_size)
        self._pass(np.array([ids, slots, positions], dtype=np.int64), logits=True)
        return self._model.scale_logits(torch.from_numpy(self._logits[: len(ids), : self._model.config.vocab_size]))

    def reads(self, tokens: int) -> bool:
        """Whether the kernel should read so many tokens of prompts: few, and not by rounded matrices, whose errors
        would stay in the cache."""
        return tokens <= PROMPT_ROWS and not self._int8

    def read(self, prompts: Sequence[Sequence[int]], first: int, starts: Sequence[int]) -> None:
        """Append a part of a prompt to each slot from `first` on, after the tokens that it holds, `starts` of them."""
        rows = [
            (token, first + row, start + at)
            for row, (tokens, start) in enumerate(zip(prompts, starts, strict=True))
            for at, token in enumerate(tokens)
        ]
        self._pass(np.array(rows, dtype=np.int64).T, logits=False)

    def _pass(self, rows: NDArray[np.int64], logits: bool) -> None:
        """rows: [3, N], as `step` has them."""
        count, threads = rows.shape[1], torch.get_num_threads()
        if count > len(self._scratch.qkv) or threads > len(self._scratch.x):
            self._scratch = self._room(max(count, len(self._scratch.qkv)))
        met = meetings()
        shared = max(1, min(threads, count * self._multiplications // WORTH_A_THREAD))
        both = POSSIBLE and count <= SHARED_ROWS and shared > 1
        alike = count if logits else -(count // 16)  # prompts have many lengths
        way, began = self._pace.choice(alike) if both else APART, time.perf_counter()
        if way == TOGETHER:
            work = [(slice(0, count), ThreadPart(thread, shared, met)) for thread in range(shared)]
        else:
            # tokens of one slot, which need each other, are one thread's
            divided = threads if len(set(rows[1])) == count else 1
            each = -(-count // (divided * ROWS_OF_A_THREAD)) * ROWS_OF_A_THREAD
            work = [(slice(first, min(first + each, count)), ThreadPart(0, 1, met)) for first in range(0, count, each)]
        self._decode(rows, work, met, logits)
        if both:
            self._pace.record(alike, way, time.perf_counter() - began)

    def _decode(
        self, rows: NDArray[np.int64], work: Sequence[tuple[slice, ThreadPart]], met: NDArray[np.int64], logits: bool
    ) -> None:
        """Each piece of work, rows and the part of them, is a thread's."""

        def decode_some(thread: int) -> None:
            some, part = work[thread]
            count, room = some.stop - some.start, self._scratch
            own = (
                room.x[thread][:count],
                room.normed[thread][:count],
                room.halves[thread][:count],
                room.scores[thread],
            )
            scratch = StepScratch(*own, room.qkv[some], room.attended[some], room.out[some], room.up[some])
            decode(
                self._weights, self._shape, scratch, self._windows, self._keys, self._values,
                rows[0, some], rows[1, some], rows[2, some], self._logits[some if logits else slice(0)], part,
            )  # fmt: skip

        if len(work) - 1 > self._helpers.count:
            self._helpers = Helpers(len(work) - 1)
        try:
            others = self._helpers.submit(decode_some, range(1, len(work)))
            decode_some(0)
            for other in others:
                other.result()
        except BaseException:  # an interrupt, say: nobody waits for this thread any more
            met[GONE] = 1
            raise

    @staticmethod
    def _zeros(rows: int, columns: int) -> NDArray[np.float32]:
        return np.zeros((rows, padded_columns(columns)), dtype=np.float32)

    def _room(self, rows: int) -> StepScratch:
        config = self._model.config
        heads, groups, K, D = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.hidden_size,
        )
        threads = torch.get_num_threads()
        inputs = max(D, heads * K, config.intermediate_size)
        widest = padded_columns(inputs) if self._dtype == torch.bfloat16 else 0
        return StepScratch(
            x=np.stack([self._zeros(rows, D)] * threads),
            normed=np.stack([self._zeros(rows, D)] * threads),
            halves=np.zeros((threads, rows, widest // 2), dtype=np.uint32),
            scores=self._zeros(threads, self._cache.capacity + 4),
            qkv=self._zeros(rows, (heads + 2 * groups) * K),
            attended=self._zeros(rows, heads * K),
            out=self._zeros(rows, D),
            up=self._zeros(rows, config.intermediate_size * (2 if config.gated_mlp else 1)),
        )

    def _packed(self, model: CustomLanguageModel) -> Weights:
        decoder = model.model
        blocks = [block for block in decoder.layers if isinstance(block, Block)]
        attention, mlps = [block.self_attn for block in blocks], list[Any](block.mlp for block in blocks)
        gated = model.config.gated_mlp

        def linear(layers: Sequence[Sequence[nn.Linear]]) -> tuple[NDArray, NDArray, NDArray]:
            """(matrices, their scales, biases) of modules that read the same input, a few in each layer."""
            matrices = [_rows(*map(_matrix, layer)) for layer in layers]
            biases = _NONE
            if layers[0][0].bias is not None:
                biases = np.stack([_rows(*(module.bias for module in layer)) for layer in layers])
            if self._dtype == torch.bfloat16:
                return np.stack([packed(_bfloat16(matrix)) for matrix in matrices]), _NONE, biases
            if not self._int8:
                return np.stack([packed(matrix) for matrix in matrices]), _NONE, biases
            scales = np.stack([np.abs(matrix).max(-1) / 127 for matrix in matrices])
            scales[scales == 0] = 1
            integers = [
                np.round(matrix / scale[:, None]).astype(np.int8)
                for matrix, scale in zip(matrices, scales, strict=True)
            ]
            return np.stack([packed(matrix) for matrix in integers]), scales, biases

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


def _bfloat16(matrix: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Its bits, rounded to the nearest as PyTorch does it."""
    bits: NDArray[np.uint16] = torch.from_numpy(matrix).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    return bits


def _rows(*tensors: Tensor) -> NDArray[np.float32]:
    """Tensors below each other, as one contiguous array of float32."""
    tensors_of_float = [tensor.detach().float() for tensor in tensors]
    one = tensors_of_float[0] if len(tensors) == 1 else torch.cat(tensors_of_float)
    found: NDArray[np.float32] = one.contiguous().numpy()
    return found
