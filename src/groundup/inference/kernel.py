"""One step of a decoder for a few rows, as one call of machine code: what a small model spends its time on otherwise is
calling. Float32 on a CPU; matrices may be int8 with a scale for each of their rows.

Rows are tokens of any sequences: row n appends token `ids[n]` at `positions[n]` of slot `slots[n]`, whose earlier
tokens are in the cache. Several rows may be consecutive tokens of one slot. Rows are padded to a multiple of four
(`GROUP`), unless there is one: a matrix is read once for all rows, and four rows' sums fit into registers.

Suffixes: N rows, V vocabulary, D width, H query heads, G key-value heads, K head size, I inner width, S positions.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import fast_helper, fast_kernel

GROUP = 4
Array = NDArray[np.float32]
Matrices = Any  # float32 or int8, [L, rows, columns]

RMS_NORM, LAYER_NORM = 0, 1
SILU, GELU, GELU_TANH, RELU, RELU2 = range(5)


class Weights(NamedTuple):
    """A decoder's weights by kind, those of all layers stacked. What a model lacks has no elements."""

    embedding: Array  # [V, D]
    positions: Array  # [context, D], learned
    cos: Array  # [context, K], rotary
    sin: Array
    attention_norm: Array  # [L, D]
    attention_norm_bias: Array
    qkv: Matrices  # queries, keys and values, [L, (H + 2 G) K, D]
    qkv_scale: Array  # of int8: [L, (H + 2 G) K]
    qkv_bias: Array
    q_norm: Array  # [L, K]
    k_norm: Array
    o: Matrices  # [L, D, H K]
    o_scale: Array
    o_bias: Array
    mlp_norm: Array
    mlp_norm_bias: Array
    up: Matrices  # [L, I, D], or gate and up, [L, 2 I, D]
    up_scale: Array
    up_bias: Array
    down: Matrices  # [L, D, I]
    down_scale: Array
    down_bias: Array
    norm: Array  # [1, D]
    norm_bias: Array
    head: Matrices  # [1, V, D]
    head_scale: Array


class Shape(NamedTuple):
    """What the arrays' shapes don't show."""

    heads: int
    groups: int
    head_dim: int
    gated: bool
    activation: int
    norm: int
    epsilon: float
    qk_epsilon: float


class StepScratch(NamedTuple):
    """Room for what is between the matrices, N rows each."""

    x: Array  # the residual stream [N, D]
    normed: Array  # [N, D]
    qkv: Array  # [N, (H + 2 G) K]
    attended: Array  # [N, H K]
    out: Array  # [N, D]
    up: Array  # [N, I or 2 I]
    scores: Array  # [S]


@fast_kernel
def decode_step(
    weights: Weights,
    shape: Shape,
    scratch: StepScratch,
    windows: NDArray[np.int64],
    keys: Array,
    values: Array,
    ids: NDArray[np.int64],
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    logits: Array,
) -> None:
    """Append a token to each row's slot, and write the logits of the next, [N, V].

    Args:
        windows: how many tokens a token of each layer sees; [L].
        keys, values: of the cache, [L, slots, G, capacity, K]. The last position takes what padding rows write: rows
            whose slot is -1.
    """
    x, normed, out = scratch.x, scratch.normed, scratch.out
    N, D = x.shape
    for n in range(N):
        for d in range(D):
            x[n, d] = weights.embedding[ids[n], d]
        if weights.positions.size:
            for d in range(D):
                x[n, d] += weights.positions[positions[n], d]
    for layer in range(len(windows)):
        _norm(x, weights.attention_norm, weights.attention_norm_bias, layer, shape.norm, shape.epsilon, normed)
        _multiply(weights.qkv, weights.qkv_scale, weights.qkv_bias, layer, normed, scratch.qkv)
        _attend(
            weights, shape, layer, windows[layer], keys, values, slots, positions,
            scratch.qkv, scratch.attended, scratch.scores,
        )  # fmt: skip
        _multiply(weights.o, weights.o_scale, weights.o_bias, layer, scratch.attended, out)
        _add(x, out)
        _norm(x, weights.mlp_norm, weights.mlp_norm_bias, layer, shape.norm, shape.epsilon, normed)
        _multiply(weights.up, weights.up_scale, weights.up_bias, layer, normed, scratch.up)
        _activate(scratch.up, weights.down.shape[2], shape.activation, shape.gated)
        _multiply(weights.down, weights.down_scale, weights.down_bias, layer, scratch.up, out)
        _add(x, out)
    _norm(x, weights.norm, weights.norm_bias, 0, shape.norm, shape.epsilon, normed)
    _multiply(weights.head, weights.head_scale, weights.norm_bias[:0], 0, normed, logits)


@fast_kernel
def add_and_norm(x: Array, y: Array, gains: Array, biases: Array, layer: int, shape: Shape, normed: Array) -> None:
    """Between two matmuls that a library computes: add to the residual stream, and norm it."""
    _add(x, y)
    _norm(x, gains, biases, layer, shape.norm, shape.epsilon, normed)


@fast_kernel
def attend(
    weights: Weights,
    shape: Shape,
    layer: int,
    window: int,
    keys: Array,
    values: Array,
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    qkv: Array,
    attended: Array,
    scores: Array,
) -> None:
    """The attention of one layer; `attended` is the result. Arguments as in `decode_step` and `StepScratch`."""
    _attend(weights, shape, layer, window, keys, values, slots, positions, qkv, attended, scores)


@fast_kernel
def activate(up: Array, inner: int, shape: Shape) -> None:
    """The feed-forward part between its two matmuls, in place; the result is the first `inner` columns."""
    _activate(up, inner, shape.activation, shape.gated)


@fast_helper
def _add(x: Array, y: Array) -> None:
    for n in range(len(x)):
        for d in range(x.shape[1]):
            x[n, d] += y[n, d]


@fast_helper
def _norm(x: Array, gains: Array, biases: Array, layer: int, kind: int, epsilon: float, out: Array) -> None:
    N, D = x.shape
    for n in range(N):
        mean = np.float32(0)
        if kind == LAYER_NORM:
            for d in range(D):
                mean += x[n, d]
            mean /= np.float32(D)
        squares = np.float32(0)
        for d in range(D):
            squares += (x[n, d] - mean) * (x[n, d] - mean)
        scale = np.float32(1 / math.sqrt(squares / D + epsilon))
        for d in range(D):
            out[n, d] = (x[n, d] - mean) * scale * gains[layer, d]
        if biases.size:
            for d in range(D):
                out[n, d] += biases[layer, d]


@fast_helper
def _multiply(matrices: Matrices, scales: Array, biases: Array, layer: int, x: Array, out: Array) -> None:
    """out[n, i] = scale_i sum_k W[i, k] x[n, k] + bias_i; x may have more columns than W."""
    _, F, K = matrices.shape
    if len(x) == 1:
        first = x[0]
        for i in range(F):
            row = matrices[layer, i]
            total = np.float32(0)
            for k in range(K):
                total += np.float32(row[k]) * first[k]
            out[0, i] = total
    else:
        for i in range(0, F, 2):
            row, other = matrices[layer, i], matrices[layer, min(i + 1, F - 1)]  # of an odd number the last one twice
            for n in range(0, len(x), GROUP):
                x0, x1, x2, x3 = x[n], x[n + 1], x[n + 2], x[n + 3]
                s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                t0, t1, t2, t3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(K):
                    v, w = np.float32(row[k]), np.float32(other[k])
                    s0 += v * x0[k]
                    s1 += v * x1[k]
                    s2 += v * x2[k]
                    s3 += v * x3[k]
                    t0 += w * x0[k]
                    t1 += w * x1[k]
                    t2 += w * x2[k]
                    t3 += w * x3[k]
                last = min(i + 1, F - 1)
                out[n, last], out[n + 1, last], out[n + 2, last], out[n + 3, last] = t0, t1, t2, t3
                out[n, i], out[n + 1, i], out[n + 2, i], out[n + 3, i] = s0, s1, s2, s3
    for n in range(len(x)):
        if scales.size:
            for i in range(F):
                out[n, i] *= scales[layer, i]
        if biases.size:
            for i in range(F):
                out[n, i] += biases[layer, i]


@fast_helper
def _attend(
    weights: Weights,
    shape: Shape,
    layer: int,
    window: int,
    keys: Array,
    values: Array,
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    qkv: Array,
    attended: Array,
    scores: Array,
) -> None:
    """Norm and turn queries and keys, append keys and values, and attend."""
    H, G, K = shape.heads, shape.groups, shape.head_dim
    scale = np.float32(1 / math.sqrt(K))
    for n in range(len(qkv)):
        for head in range(H + G):
            vector = qkv[n, head * K : (head + 1) * K]
            if weights.q_norm.size:
                _norm_head(vector, weights.q_norm[layer] if head < H else weights.k_norm[layer], shape.qk_epsilon)
            if weights.cos.size:
                _turn(vector, weights.cos[positions[n]], weights.sin[positions[n]])
        slot = slots[n]
        for g in range(G):
            for k in range(K):
                position = positions[n] if slot >= 0 else keys.shape[3] - 1
                keys[layer, slot, g, position, k] = qkv[n, (H + g) * K + k]
                values[layer, slot, g, position, k] = qkv[n, (H + G + g) * K + k]
    for n in range(len(qkv)):
        slot, last = slots[n], positions[n]
        if slot < 0:
            continue
        first = max(0, last - window + 1)
        for head in range(H):
            g = head // (H // G)
            query = qkv[n, head * K : (head + 1) * K]
            largest = np.float32(-np.inf)
            for s in range(first, last + 1):
                key = keys[layer, slot, g, s]
                total = np.float32(0)
                for k in range(K):
                    total += query[k] * key[k]
                scores[s] = total * scale
                largest = max(largest, scores[s])
            out = attended[n, head * K : (head + 1) * K]
            out[:] = np.float32(0)
            sum_ = np.float32(0)
            for s in range(first, last + 1):
                weight = np.float32(math.exp(scores[s] - largest))
                sum_ += weight
                value = values[layer, slot, g, s]
                for k in range(K):
                    out[k] += weight * value[k]
            for k in range(K):
                out[k] /= sum_


@fast_helper
def _norm_head(vector: Array, gains: Array, epsilon: float) -> None:
    squares = np.float32(0)
    for k in range(len(vector)):
        squares += vector[k] * vector[k]
    scale = np.float32(1 / math.sqrt(squares / len(vector) + epsilon))
    for k in range(len(vector)):
        vector[k] *= scale * gains[k]


@fast_helper
def _turn(vector: Array, cos: Array, sin: Array) -> None:
    half = len(vector) // 2
    for k in range(half):
        one, other = vector[k], vector[half + k]
        vector[k] = one * cos[k] - other * sin[k]
        vector[half + k] = other * cos[k] + one * sin[k]


@fast_helper
def _activate(up: Array, inner: int, activation: int, gated: bool) -> None:
    """In place: act(gate) * up in the first half, or act(up)."""
    for n in range(len(up)):
        for i in range(inner):
            value = up[n, i]
            if activation == SILU:
                value = value / (np.float32(1) + np.float32(math.exp(-value)))
            elif activation == GELU:
                value = np.float32(0.5) * value * np.float32(1 + math.erf(value * math.sqrt(0.5)))
            elif activation == GELU_TANH:
                inside = math.sqrt(2 / math.pi) * (value + 0.044715 * value * value * value)
                value = np.float32(0.5) * value * np.float32(1 + math.tanh(inside))
            elif activation == RELU:
                value = max(value, np.float32(0))
            else:
                value = max(value, np.float32(0)) * max(value, np.float32(0))
            up[n, i] = value * up[n, inner + i] if gated else value
