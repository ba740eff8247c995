"""What a training or answering process holds in memory, by part, each by a formula.

    weights, gradients      4 N bytes each, float32
    optimizer state         8 N: two float32 averages (AdamW, arXiv 1711.05101); 4 N of matrices under Muon; 2 N and
                            two scales for each 256 numbers in 8 bits; next to nothing under Adafactor
    checkpoint              a copy of weights and optimizer state, which a thread writes during the next steps
    bf16 or fp16 copies     2 N: what autocast casts the weights to
    activations             `activation_bytes`
    logits                  `chunked_logits_bytes` in pretraining, `answer_logits_bytes` on rows of answers
    key-value cache         `cache_bytes`
    compiled matmuls        `compiled_matmul_bytes`: code that oneDNN keeps for each shape, on CPUs
    program                 a constant, measured

Constants marked "measured" are those of one machine: Linux on x86, 2 cores with avx512_bf16, the default blueprint.
"""

from dataclasses import dataclass
from typing import Literal

from groundup.model.configuration import LLMConfig

Checkpointing = Literal["none", "selective", "full"]

TRAINING_PROGRAM_BYTES = 420 << 20  # measured: torch, its optimizers and oneDNN in a process that trains
ANSWERING_PROGRAM_BYTES = 300 << 20  # measured: torch without optimizers
EVALUATING_PROGRAM_BYTES = 344 << 20  # measured: with kernels of tokenizer and sampling
DATA_PROGRAM_BYTES = 235 << 20  # measured: numba and Arrow; processes that start from it share these pages
DOCUMENTS_PER_BYTE = 5.5  # measured: of text, as Arrow, as strings and as tokens
COMPILER_BYTES = {
    "curate": 132 << 20,
    "tokenizer": 42 << 20,
    "tokens": 21 << 20,
}  # measured: LLVM
REPORT_PROGRAM_BYTES = 190 << 20  # measured: neither
MATMUL_CODE_BYTES = 1_150_000  # measured: what oneDNN keeps for one shape of a matmul (docs/experiments.md)
MATMUL_CODES = 1024  # the most that oneDNN keeps (ONEDNN_PRIMITIVE_CACHE_CAPACITY)
DECODED_ROWS, PROMPT_SHAPES = 8, 20  # shapes of answering (inference/engine.py, prompts.py)
HEAD_CHUNK_BYTES = 48 << 20  # logits that pretraining's head holds at once (model/cross_entropy.py)
WIDTH_STEP, ROWS_STEP = 8, 64  # to which widths and answer tokens are rounded up (alignment/answers.py)


@dataclass(frozen=True)
class BatchShapes:
    """How many different shapes of batches a stage sees."""

    widths: int
    """Of the batches, in tokens."""
    heads: int
    """Numbers of answer tokens."""


@dataclass(frozen=True)
class Held:
    """What a training stage holds besides its program, by part. It answers questions before or after it trains, so not
    all parts come together; code of matmuls stays."""

    state: dict[str, int]
    """As `state_bytes` gives it; the gradients and the copies in lower precision are there in training alone."""
    training: dict[str, int]
    answering: dict[str, int]
    code: dict[str, int]

    def peak(self, checkpoints: bool) -> dict[str, int]:
        """The parts that are there when most is held.

        Args:
            checkpoints: whether it trains for so long that a checkpoint is written meanwhile; one is at the end.
        """
        always = {part: amount for part, amount in self.state.items() if part not in ("gradients", "checkpoint")}
        lower = {part: always.pop(part) for part in list(always) if part.endswith("copies")}
        copy = {"checkpoint": self.state["checkpoint"]}
        training = {"gradients": self.state["gradients"], **lower, **self.training}
        phases = (training | (copy if checkpoints else {}), lower | self.answering, copy)
        return always | max(phases, key=lambda phase: sum(phase.values())) | self.code


def state_bytes(parameters: int, precision: str, optimizer: str = "adamw", matrices: int = 0) -> dict[str, int]:
    """Of one trained model between its steps, by part.

    Args:
        optimizer: its name.
        matrices: parameters that Muon trains: it keeps one average of each where AdamW keeps two.
    """
    averages = 0 if optimizer == "adafactor" else 8 * parameters - 4 * matrices
    kept = 2 * parameters + 8 * parameters // 256 if optimizer == "adamw_8bit" else averages
    found = {"weights": 4 * parameters, "gradients": 4 * parameters, "optimizer state": kept}
    found["checkpoint"] = found["weights"] + averages  # in float32
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


def forward_bytes(model: LLMConfig, rows: int, tokens: int, precision: str) -> int:
    """What a forward pass alone holds: the stream, the values of the one layer that is computed, its attention."""
    stream, other = layer_values(model, "none")
    width = 4 if precision == "fp32" else 2
    scores = rows * model.num_attention_heads * tokens**2 * (4 + width)
    return rows * tokens * (4 * stream + width * other) + scores


def xz_bytes(text_bytes: int) -> int:
    """Of `xz -9` on a text: 2^24 hashes of 4 bytes, two links for each position, the text twice. What it asks for
    is ten times as much, of which it touches that."""
    return (4 << 24) + 10 * text_bytes


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


def batch_shapes(rows: int, typical: int, longest: int, answer: int, batches: int) -> BatchShapes:
    """Of `batches` batches of `rows` padded rows, whose widths and answer tokens are rounded up to multiples.

    Args:
        typical, longest: tokens of a row.
        answer: tokens of an answer.
    """
    widths = max(1, -(-longest // WIDTH_STEP) - typical // WIDTH_STEP)
    return BatchShapes(min(widths, batches), min(max(1, rows * answer // ROWS_STEP // 2), batches))


def layer_matmuls(model: LLMConfig) -> int:
    """Different matrices of a layer, by inputs and outputs."""
    d, q, kv = model.hidden_size, model.num_attention_heads * model.head_dim, model.num_key_value_heads * model.head_dim
    inner = model.moe_intermediate_size if model.num_experts else model.intermediate_size
    return len({(d, q), (q, d), (d, kv), (d, inner), (inner, d)})


def compiled_matmul_bytes(
    model: LLMConfig,
    trained: BatchShapes | None = None,
    forward: BatchShapes | None = None,
    together: int = 0,
    passes: int = 0,
) -> int:
    """Code that oneDNN makes for each shape of a matmul and keeps.

    For each width a matmul per different matrix and two in attention; training has three and four of them (the
    gradients of inputs and weights). The head has one for each number of answer tokens, or three.

    Args:
        together: questions that are answered together by PyTorch, in steps of a multiple of `DECODED_ROWS` rows, with
            attention over one or two lengths; groundup's own kernel makes no such code.
        passes: in which prompts are read; beyond `PROMPT_SHAPES` their shapes are known.
    """
    layer = layer_matmuls(model)
    found = 0
    if trained is not None:
        found += (3 * layer + 4) * trained.widths + 3 * trained.heads
    if forward is not None:
        found += (layer + 2) * forward.widths + forward.heads
    found += (layer + 1 + 3) * -(-together // DECODED_ROWS) + (layer + 4) * min(passes, PROMPT_SHAPES)
    return MATMUL_CODE_BYTES * min(found, MATMUL_CODES)


def word_count_bytes(text_bytes: int) -> int:
    """Of a tokenizer's training: the different words and their symbols.

    Their number by Heaps' law, 44 n^.5 of n words of 6 bytes; 550 bytes for each (measured).
    """
    return round(550 * 44 * (text_bytes / 6) ** 0.5)


def ngram_bytes(text_bytes: int) -> int:
    """Of the n-gram baseline: 8-byte words of the whole text, masked, sorted and counted, and the tables of six orders,
    which together hold about as many different n-grams as the text has bytes."""
    return 56 * text_bytes
