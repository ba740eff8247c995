"""Steps of a decoder as one call of machine code: what a small model spends its time on otherwise is calling.

Float32 on a CPU; matrices may be bfloat16, or int8 with a scale for each of their rows.

Rows are tokens of any sequences: row n appends token `ids[n]` at `positions[n]` of slot `slots[n]`, whose earlier
tokens are in the cache. Several rows may be consecutive tokens of one slot, if one call has them all. Rows need nothing
of each other otherwise. So threads can have some of many rows each, and need not wait for each other; or all work
on the same few rows, each has some of every matrix's outputs and some of the heads, and all meet in between.

Suffixes: N rows, V vocabulary, D width, H query heads, G key-value heads, K head size, I inner width, S positions, P
panels of 32 outputs.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import fast_helper, fast_kernel
from groundup.kernels.exponential import exp
from groundup.kernels.matmul import PANEL, in_bfloat16, multiply, operand
from groundup.kernels.meeting import meet

Array = NDArray[np.float32]
Matrices = Any  # float32, int8 or bfloat16, [L, P, columns, 32]: packed for `multiply`

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
    qkv: Matrices  # queries, keys and values: (H + 2 G) K outputs of D inputs
    qkv_scale: Array  # of int8: [L, (H + 2 G) K]
    qkv_bias: Array
    q_norm: Array  # [L, K]
    k_norm: Array
    o: Matrices  # H K to D
    o_scale: Array
    o_bias: Array
    mlp_norm: Array
    mlp_norm_bias: Array
    up: Matrices  # D to I, or to 2 I: gate and up
    up_scale: Array
    up_bias: Array
    down: Matrices  # I to D
    down_scale: Array
    down_bias: Array
    norm: Array  # [1, D]
    norm_bias: Array
    head: Matrices  # D to V, [1, ...]
    head_scale: Array


class Shape(NamedTuple):
    """What the arrays' shapes don't show."""

    heads: int
    groups: int
    head_dim: int
    inner: int
    gated: bool
    activation: int
    norm: int
    epsilon: float
    qk_epsilon: float


class StepScratch(NamedTuple):
    """Room for what is between the matrices, N rows each; columns are padded as `multiply` needs it."""

    x: Array  # the residual stream [N, D]; of this thread, as are the next three
    normed: Array  # [N, D]
    halves: NDArray[np.uint32]  # what is multiplied, two numbers of bfloat16 in each; empty where matrices are others
    scores: Array  # [S, and 3 more]
    qkv: Array  # [N, (H + 2 G) K]; of all threads, as are the others
    attended: Array  # [N, H K]
    out: Array  # [N, D]
    up: Array  # [N, I or 2 I]


class ThreadPart(NamedTuple):
    """Which part of the work on these rows a thread does."""

    thread: int
    threads: int
    meetings: NDArray[np.int64]


@fast_kernel
def decode(
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
    part: ThreadPart,
) -> None:
    """Append a token to each row's slot, and write the logits of the next.

    Args:
        windows: how many tokens a token of each layer sees; [L].
        keys, values: of the cache, [L, slots, G, capacity, K].
        logits: [N, V padded]; no rows: none are wanted.
    """
    x, normed, out, halves = scratch.x, scratch.normed, scratch.out, scratch.halves
    N, D, come = len(ids), weights.norm.shape[1], 0
    for n in range(N):
        for d in range(D):
            x[n, d] = weights.embedding[ids[n], d]
        if weights.positions.size:
            for d in range(D):
                x[n, d] += weights.positions[positions[n], d]
    for layer in range(len(windows)):
        _norm(x, N, weights.attention_norm, weights.attention_norm_bias, layer, shape.norm, shape.epsilon, normed)
        _multiply(weights.qkv, weights.qkv_scale, weights.qkv_bias, layer, N, normed, halves, scratch.qkv, part)
        come = meet(part.meetings, part.threads, come)
        _append(weights, shape, layer, keys, values, slots, positions, scratch.qkv, part)
        _attend(shape, layer, windows[layer], keys, values, slots, positions, scratch, part)
        come = meet(part.meetings, part.threads, come)
        _multiply(weights.o, weights.o_scale, weights.o_bias, layer, N, scratch.attended, halves, out, part)
        come = meet(part.meetings, part.threads, come)
        _add(x, out, N, D)
        _norm(x, N, weights.mlp_norm, weights.mlp_norm_bias, layer, shape.norm, shape.epsilon, normed)
        _multiply(weights.up, weights.up_scale, weights.up_bias, layer, N, normed, halves, scratch.up, part)
        come = meet(part.meetings, part.threads, come)
        _activate(scratch.up, N, shape, part)
        come = meet(part.meetings, part.threads, come)
        _multiply(weights.down, weights.down_scale, weights.down_bias, layer, N, scratch.up, halves, out, part)
        come = meet(part.meetings, part.threads, come)
        _add(x, out, N, D)
    if len(logits):
        _norm(x, N, weights.norm, weights.norm_bias, 0, shape.norm, shape.epsilon, normed)
        _multiply(weights.head, weights.head_scale, weights.norm_bias[:0], 0, N, normed, halves, logits, part)


@fast_helper
def _own(things: int, part: ThreadPart) -> tuple[int, int]:
    """From which to which of so many things are this thread's."""
    return things * part.thread // part.threads, things * (part.thread + 1) // part.threads


@fast_helper
def _add(x: Array, y: Array, N: int, D: int) -> None:
    for n in range(N):
        for d in range(D):
            x[n, d] += y[n, d]


@fast_helper
def _norm(x: Array, N: int, gains: Array, biases: Array, layer: int, kind: int, epsilon: float, out: Array) -> None:
    D = gains.shape[1]
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
def _multiply(
    matrices: Matrices,
    scales: Array,
    biases: Array,
    layer: int,
    N: int,
    x: Array,
    halves: NDArray[np.uint32],
    out: Array,
    part: ThreadPart,
) -> None:
    """out[n, i] = scale_i sum_k W[i, k] x[n, k] + bias_i."""
    first, last = _own(matrices.shape[1], part)
    if halves.size:
        in_bfloat16(x, N, 2 * matrices.shape[2], halves)
    multiply(matrices[layer], first, last, operand(matrices, x, halves), N, out)
    for n in range(N):
        if scales.size:
            for i in range(first * PANEL, min(last * PANEL, scales.shape[1])):
                out[n, i] *= scales[layer, i]
        if biases.size:
            for i in range(first * PANEL, min(last * PANEL, biases.shape[1])):
                out[n, i] += biases[layer, i]


@fast_helper
def _append(
    weights: Weights,
    shape: Shape,
    layer: int,
    keys: Array,
    values: Array,
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    qkv: Array,
    part: ThreadPart,
) -> None:
    """Norm and turn queries and keys in place, and append keys and values to the cache."""
    H, G, K = shape.heads, shape.groups, shape.head_dim
    first, last = _own(G, part)
    for n in range(len(slots)):
        for g in range(first, last):
            for index in range(H // G + 1):  # the group's queries, then its key
                head = g * (H // G) + index if index < H // G else H + g
                vector = qkv[n, head * K : (head + 1) * K]
                if weights.q_norm.size:
                    _norm_head(vector, weights.q_norm if head < H else weights.k_norm, layer, shape.qk_epsilon)
                if weights.cos.size:
                    _turn(vector, weights.cos, weights.sin, positions[n])
            key, value = qkv[n, (H + g) * K : (H + g + 1) * K], qkv[n, (H + G + g) * K : (H + G + g + 1) * K]
            keys[layer, slots[n], g, positions[n]] = key
            values[layer, slots[n], g, positions[n]] = value


@fast_helper
def _attend(
    shape: Shape,
    layer: int,
    window: int,
    keys: Array,
    values: Array,
    slots: NDArray[np.int64],
    positions: NDArray[np.int64],
    scratch: StepScratch,
    part: ThreadPart,
) -> None:
    """`scratch.attended` of the queries in `scratch.qkv`."""
    H, K = shape.heads, shape.head_dim
    from_group, to_group = _own(shape.groups, part)
    scores, scale = scratch.scores, np.float32(1 / math.sqrt(K))
    for n in range(len(slots)):
        last = positions[n]
        first = max(0, last - window + 1)
        for head in range(from_group * (H // shape.groups), to_group * (H // shape.groups)):
            # views: only plain indices become vector instructions
            columns = slice(head * K, (head + 1) * K)
            query, out = scratch.qkv[n, columns], scratch.attended[n, columns]
            g = head // (H // shape.groups)
            keys_SK, values_SK = keys[layer, slots[n], g], values[layer, slots[n], g]
            for s in range(first, last + 1, 4):  # four at a time, of which those after the last count for nothing
                s1, s2, s3 = min(s + 1, last), min(s + 2, last), min(s + 3, last)
                t0, t1, t2, t3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(K):
                    t0 += query[k] * keys_SK[s, k]
                    t1 += query[k] * keys_SK[s1, k]
                    t2 += query[k] * keys_SK[s2, k]
                    t3 += query[k] * keys_SK[s3, k]
                scores[s], scores[s + 1], scores[s + 2], scores[s + 3] = t0, t1, t2, t3
            largest = np.float32(-np.inf)
            for s in range(first, last + 1):
                largest = max(largest, scores[s])
            sum_ = np.float32(0)
            for s in range(first, last + 1):
                scores[s] = exp((scores[s] - largest) * scale)
                sum_ += scores[s]
            scores[last + 1 : last + 4] = np.float32(0)
            out[:] = np.float32(0)
            for s in range(first, last + 1, 4):
                s1, s2, s3 = min(s + 1, last), min(s + 2, last), min(s + 3, last)
                w0, w1, w2, w3 = scores[s], scores[s + 1], scores[s + 2], scores[s + 3]
                for k in range(K):
                    out[k] += (
                        w0 * values_SK[s, k] + w1 * values_SK[s1, k] + w2 * values_SK[s2, k] + w3 * values_SK[s3, k]
                    )
            for k in range(K):
                out[k] /= sum_


@fast_helper
def _norm_head(vector: Array, gains: Array, layer: int, epsilon: float) -> None:
    squares = np.float32(0)
    for k in range(len(vector)):
        squares += vector[k] * vector[k]
    scale = np.float32(1 / math.sqrt(squares / len(vector) + epsilon))
    for k in range(len(vector)):
        vector[k] *= scale * gains[layer, k]


@fast_helper
def _turn(vector: Array, cos: Array, sin: Array, position: int) -> None:
    half = len(vector) // 2
    for k in range(half):
        one, other = vector[k], vector[half + k]
        vector[k] = one * cos[position, k] - other * sin[position, k]
        vector[half + k] = other * cos[position, k] + one * sin[position, k]


@fast_helper
def _activate(up: Array, N: int, shape: Shape, part: ThreadPart) -> None:
    """In place: act(gate) * up in the first half, or act(up)."""
    activation, gated = shape.activation, shape.gated
    first, last = _own(shape.inner, part)
    inner = last - first
    one, half = np.float32(1), np.float32(0.5)
    for n in range(N):
        gate, other = up[n, first:last], up[n, shape.inner + first : shape.inner + last]
        if activation == SILU:
            for i in range(inner):
                gate[i] = gate[i] / (one + exp(-gate[i]))
        elif activation == GELU:
            for i in range(inner):
                gate[i] = half * gate[i] * np.float32(1 + math.erf(gate[i] * math.sqrt(0.5)))
        elif activation == GELU_TANH:
            for i in range(inner):  # (1 + tanh(x)) / 2 = 1 / (1 + e^-2x)
                x = gate[i]
                inside = np.float32(2 * math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
                gate[i] = x / (one + exp(-inside))
        else:
            for i in range(inner):
                x = max(gate[i], np.float32(0))
                gate[i] = x if activation == RELU else x * x
        if gated:
            for i in range(inner):
                gate[i] *= other[i]
