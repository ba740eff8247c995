"""The decoder of any configuration, and which keys a query sees."""

from __future__ import annotations

from collections.abc import Callable

from groundup.model.configuration import LLMConfig
from groundup.report.diagrams.canvas import Canvas
from groundup.report.markup import Html

ACTIVATIONS = {"silu": "SiLU", "gelu": "GELU", "gelu_new": "GELU", "relu": "ReLU", "relu2": "ReLU²"}
CELLS = 16  # a side of a mask that is drawn


def decoder(config: LLMConfig, notes: bool = True) -> Html:
    """From token ids to logits, with the sizes of `config`; one layer is drawn out.

    Args:
        notes: next to it what each part does, and the parameters by part; without them it fits a phone.
    """
    canvas, left, w = Canvas(640 if notes else 350, 560), 60, 250
    d, heads, groups = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    norm = "LayerNorm" if config.norm == "layer_norm" else "RMSNorm"
    act = ACTIVATIONS.get(config.hidden_act, config.hidden_act)
    middle = left + w / 2
    canvas.box(left, 512, w, 36, f"token ids (up to {config.max_position_embeddings:,})", kind="soft")
    canvas.box(left, 452, w, 40, "embedding", f"{config.vocab_size:,} \u00d7 {d:,}", kind="a")
    canvas.box(left - 30, 150, w + 60, 282, kind="none")
    canvas.words(left - 44, 290, f"{config.num_hidden_layers} layers", turned=True, bold=True)
    canvas.box(left, 388, w, 30, norm)
    shared = "" if groups == heads else f", {groups} of keys and values"
    canvas.box(left, 326, w, 46, "attention", f"{heads} heads of {config.head_dim}{shared}", kind="b")
    canvas.box(left, 246, w, 30, norm)
    if config.num_experts:
        inner = f"{config.num_experts} experts, {config.num_experts_per_tok} a token"
    else:
        inner = f"{d:,} → {config.intermediate_size:,} → {d:,}, {act}{', gated' if config.gated_mlp else ''}"
    canvas.box(left, 184, w, 46, "feed-forward", inner, kind="c")
    canvas.box(left, 104, w, 30, norm)
    tied = "the embedding's matrix" if config.tie_word_embeddings else f"{d:,} \u00d7 {config.vocab_size:,}"
    canvas.box(left, 46, w, 40, "head", tied, kind="a")
    canvas.words(middle, 18, f"logits, {config.vocab_size:,} for each token", bold=True)
    for lower, upper in ((512, 492), (452, 418), (388, 372), (326, 276), (246, 230), (184, 134), (104, 86), (46, 28)):
        canvas.arrow((middle, lower), (middle, upper))
    for low, high in ((436, 301), (296, 164)):  # past the part, and added to what it gives
        canvas.arrow((middle, low), (left + w + 16, low), (left + w + 16, high), (middle + 8, high))
        canvas.words(middle, high, "+", size=17, bold=True)
    if notes:
        _notes(canvas, config, left + w + 46)
    total = config.num_parameters
    return canvas.svg(f"A decoder of {config.num_hidden_layers} layers and width {d}, with {total:,} parameters")


def _notes(canvas: Canvas, config: LLMConfig, x: float) -> None:
    """What each part does, and the parameters by part, from `x` on."""
    notes = [
        (
            472,
            "positions: rotated in every layer" if config.position_embedding == "rope" else "learned positions added",
        ),
        (403, "scales each token's vector"),
        (340, "tokens read from earlier tokens"),
        (358, f"of the last {config.sliding_window:,} tokens" if config.sliding_window else ""),
        (207, "each token by itself"),
        (301, "the residual stream"),
    ]
    for y, note in notes:
        canvas.words(x, y, note, anchor="start", colour="soft", size=12.5)
    canvas.words(x, 60, f"{config.num_parameters:,} parameters:", anchor="start", bold=True)
    for number, (name, count) in enumerate(config.parts.items()):
        y = 80 + 17 * number
        canvas.words(x, y, name, anchor="start", colour="soft", size=12)
        canvas.words(x + 216, y, f"{count:,}", anchor="end", colour="soft", size=12)


def masks(window: int = 5, documents: tuple[int, ...] = (6, 4, 6)) -> Html:
    """Three masks over the same tokens: causal, with a sliding window, with documents that don't see each other."""
    canvas, size = Canvas(640, 250), 11.5
    of = [number for number, count in enumerate(documents) for _ in range(count)]
    rules: dict[str, Callable[[int, int], bool]] = {
        "causal": lambda q, k: k <= q,
        f"window of {window}": lambda q, k: k <= q and q - k < window,
        f"{len(documents)} documents": lambda q, k: k <= q and of[q] == of[k],
    }
    for number, (name, seen) in enumerate(rules.items()):
        x, y = 30 + number * 208, 30
        canvas.words(x + CELLS * size / 2, 14, name, bold=True)
        for q in range(CELLS):
            for k in range(CELLS):
                canvas.cell(x + k * size, y + q * size, size - 1, size - 1, *(("a",) if seen(q, k) else ("line", 0.55)))
        canvas.words(x + CELLS * size / 2, y + CELLS * size + 14, "key", size=12, colour="soft")
        canvas.words(x - 12, y + CELLS * size / 2, "query", size=12, colour="soft", turned=True)
    return canvas.svg("Which keys a query sees: earlier ones, those within a window, those of its own document")


def grouped(heads: int = 8, groups: int = 2) -> Html:
    """Queries' heads on the heads of keys and values that they read: one each, shared by a group, one for all."""
    canvas = Canvas(640, 170)
    for number, kv in enumerate((heads, groups, 1)):
        name = {heads: "multi-head", 1: "multi-query"}.get(kv, "grouped-query")
        x = 20 + number * 210
        canvas.words(x + 88, 14, name, bold=True)
        for head in range(heads):
            canvas.box(x + head * 22, 34, 18, 30, "q", kind="a", size=11)
            group = head * kv // heads
            middle = x + (group + 0.5) * heads * 22 / kv - 2
            canvas.arrow((x + head * 22 + 9, 64), (middle, 112), head=False)
        for group in range(kv):
            middle = x + (group + 0.5) * heads * 22 / kv - 2
            canvas.box(middle - 9, 112, 18, 34, "k", "v", kind="b", size=11)
    return canvas.svg("Eight query heads on eight, two and one heads of keys and values")
