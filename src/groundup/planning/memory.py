"""What a training or answering process holds in memory, by part, each by a formula.

    weights, gradients      4 N bytes each, float32
    optimizer state         8 N: two float32 averages (AdamW, arXiv 1711.05101); 4 N of matrices under Muon
    checkpoint              a copy of weights and optimizer state, which a thread writes during the next steps
    bf16 or fp16 copies     2 N: what autocast casts the weights to
    activations             `activation_bytes`
    logits                  `chunked_logits_bytes` in pretraining, `answer_logits_bytes` on rows of answers
    key-value cache         `cache_bytes`
    compiled matmuls        `compiled_matmul_bytes`: code that oneDNN keeps for each shape, on CPUs in bf16
    program                 a constant, measured

Constants marked "measured" are those of one machine: Linux on x86, 2 cores with avx512_bf16, the default blueprint.
"""

from dataclasses import dataclass
from typing import Literal

from groundup.model.configuration import LLMConfig

Checkpointing = Literal["none", "selective", "full"]

TRAINING_PROGRAM_BYTES = 420 << 20  # measured: torch, its optimizers and oneDNN in a process that trains
ANSWERING_PROGRAM_BYTES = 300 << 20  # measured: torch without optimizers
DATA_PROGRAM_BYTES = 260 << 20  # measured: numba and Arrow
REPORT_PROGRAM_BYTES = 190 << 20  # measured: neither
MATMUL_CODE_BYTES = 2 << 20  # measured: what oneDNN keeps for one shape of a bf16 matmul (docs/experiments.md)
MATMUL_CODES = 1024  # the most that oneDNN keeps (ONEDNN_PRIMITIVE_CACHE_CAPACITY)
LAYER_MATMULS = 4  # different ones in a layer: queries and output, keys and values, gate and up, down
HEAD_CHUNK_BYTES = 48 << 20  # logits that pretraining's head holds at once (model/cross_entropy.py)
WIDTH_STEP, ROWS_STEP = 8, 64  # to which widths and answer tokens are rounded up (alignment/answers.py)


@dataclass(frozen=True)
class BatchShapes:
    """How many different shapes of batches a stage sees."""

    widths: int
    """Of the batches, in tokens."""
    heads: int
    """Numbers of answer tokens."""


def state_bytes(parameters: int, precision: str, matrices: int = 0) -> dict[str, int]:
    """Of one trained model between its steps, by part.

    Args:
        matrices: parameters that Muon trains: it keeps one average of each where AdamW keeps two.
    """
    kept = 8 * parameters - 4 * matrices
    found = {"weights": 4 * parameters, "gradients": 4 * parameters, "optimizer state": kept}
    found["checkpoint"] = found["weights"] + kept
    return found | ({f"{precision} copies": 2 * parameters} if precision != "fp32" else {})


def layer_values(model: LLMConfig, checkpointing: Checkpointing) -> tuple[int, int]:
    """What a layer keeps per token for its backward pass: numbers of (the residual stream, other activations).

    Counted as in arXiv 2205.05198, with flash attention, which keeps no T x T matrix, and no dropout:

    - `none`: 8 vectors of the width (two norms' inputs and outputs, q, k, v together, what was attended, its
      projection), and 4 of the feed-forward width (gate, up, SiLU, gate x up; 2 without a gate)
    - `selective`: the layer's input, and the results of matmuls and attention: q, k, v, attended, its projection, gate,
      up, down
    - `full`: the layer's input alone (arXiv 1604.06174)

    A mixture counts the experts that a token uses.
    """
    inner = model.num_experts_per_tok * model.moe_intermediate_size if model.num_experts else model.intermediate_size
    queries, kv = model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    if checkpointing == "full":
        return model.hidden_size, 0
    if checkpointing == "selective":
        return model.hidden_size, 2 * (queries + kv + model.hidden_size) + (2 if model.gated_mlp else 1) * inner
    return 8 * model.hidden_size, (4 if model.gated_mlp else 2) * inner


def activation_bytes(model: LLMConfig, tokens: int, precision: str, checkpointing: Checkpointing = "none") -> int:
    """What the layers of one micro-batch keep for the backward pass under autocast: the residual stream in float32.

    With checkpointing the layer that is being computed a second time comes on top.
    """
    width = 4 if precision == "fp32" else 2

    def layer(mode: Checkpointing) -> int:
        stream, other = layer_values(model, mode)
        return 4 * stream + width * other

    again = 0 if checkpointing == "none" else layer("none")
    return tokens * (model.num_hidden_layers * layer(checkpointing) + again)


def chunked_logits_bytes(model: LLMConfig, tokens: int, precision: str) -> int:
    """Of a head and loss that never hold all logits: a chunk of them, and the gradients of the head and its input."""
    width = 4 if precision == "fp32" else 2
    chunk = min(tokens * model.vocab_size * width, HEAD_CHUNK_BYTES)
    return chunk + 4 * model.vocab_size * model.hidden_size + width * tokens * model.hidden_size


def answer_logits_bytes(model: LLMConfig, tokens: int, precision: str, training: bool = True) -> int:
    """Of a head on answer tokens: logits in the precision, float32 log-probabilities, probabilities and what the
    entropy sums; in training the gradients of two of them as well."""
    width = 4 if precision == "fp32" else 2
    return tokens * model.vocab_size * ((3 * width + 16) if training else (width + 8))


def cache_bytes(model: LLMConfig, rows: int, tokens: int, precision: str) -> int:
    """Keys and values of `rows` answers being sampled."""
    kv = model.num_key_value_heads * model.head_dim
    return 2 * rows * tokens * model.num_hidden_layers * kv * (4 if precision == "fp32" else 2)


def batch_shapes(rows: int, longest_prompt: int, longest_answer: int, batches: int) -> BatchShapes:
    """Of `batches` batches of `rows` rows, whose widths and answer tokens are rounded up to multiples."""
    widths = max(1, -(-(longest_prompt + longest_answer) // WIDTH_STEP) - 1)
    return BatchShapes(min(widths, batches), min(max(1, rows * longest_answer // ROWS_STEP), batches))


def compiled_matmul_bytes(precision: str, trained: BatchShapes | None, forward: BatchShapes | None = None) -> int:
    """Code that oneDNN makes for each shape of a bf16 matmul and keeps: three matmuls in training (forward, and the
    gradients of input and weight), one in a forward pass."""
    if precision != "bf16":
        return 0
    found = sum(
        matmuls * (LAYER_MATMULS * shapes.widths + shapes.heads)
        for matmuls, shapes in ((3, trained), (1, forward))
        if shapes is not None
    )
    return MATMUL_CODE_BYTES * min(found, MATMUL_CODES)


def word_count_bytes(text_bytes: int) -> int:
    """Of a tokenizer's training: the different words and their symbols.

    Their number by Heaps' law, 44 n^.5 of n words of 6 bytes; 1.4 kB for each (measured).
    """
    return round(1_400 * 44 * (text_bytes / 6) ** 0.5)


def ngram_bytes(text_bytes: int) -> int:
    """Of the n-gram baseline: 8-byte words of the whole text, masked, sorted and counted, and the tables of six orders,
    which together hold about as many different n-grams as the text has bytes."""
    return 56 * text_bytes
