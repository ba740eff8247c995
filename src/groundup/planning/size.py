"""The one dial: from `size: 4M` to width, depth, tokens, batch and learning rates, each by a published rule.

    size, vocabulary -> layers, width, heads, feed_forward -> N parameters
    N                -> tokens D = 20 N
    C = 6 N D        -> batch_tokens, pretrain.learning_rate -> the later stages' learning rates

A value that the person set is never touched, and what follows is derived from it: with `tokens` set, batch and rate
follow from the real compute. All functions are pure. The batch and rate rules were fitted between 1e17 and 2e19
FLOPs; far below that they extrapolate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from groundup.alignment.configuration import DpoConfig, PpoConfig, RewardConfig, SftConfig
from groundup.model.configuration import LLMConfig
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.training.configuration import ModelShape, PretrainConfig

ASPECT = 64  # width per layer
MOST_LAYERS = 512
HEAD_SIZE, SMALL_HEAD_SIZE, SMALL_WIDTH = 64, 32, 128
TOKENS_PER_PARAMETER = 20
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9}

# A later stage's peak rate as a share of pretraining's, and why. Edit here.
SHARES: dict[str, tuple[float, str]] = {
    "sft": (1.0, "answers must be learnt word for word, by a fresh optimizer (docs/experiments.md)"),
    "reward": (0.15, "one pass over the pairs; three times as fast forgets what the answers are (docs/experiments.md)"),
    "ppo": (0.015, "1e-5 beside 6e-4 at 124M parameters, the field's usual pair (docs/experiments.md)"),
    "dpo": (
        0.01,
        "summed log-probabilities give large gradients; faster rates make both answers unlikely; arXiv 2305.18290",
    ),
}


class Sections(Protocol):
    """The part of a blueprint that the dial reads; the blueprint itself stands above this room."""

    @property
    def size(self) -> str: ...
    @property
    def tokenizer(self) -> TokenizerConfig: ...
    @property
    def pretrain(self) -> PretrainConfig: ...
    @property
    def sft(self) -> SftConfig: ...
    @property
    def reward(self) -> RewardConfig: ...
    @property
    def ppo(self) -> PpoConfig: ...
    @property
    def dpo(self) -> DpoConfig: ...


@dataclass(frozen=True)
class Derived:
    """A value that nobody wrote, the rule that gave it, and where the rule is from."""

    value: int | float
    rule: str
    source: str


def parameters_of(size: str) -> int:
    """`4M` -> 4,000,000; K, M and B stand for 10^3, 10^6 and 10^9."""
    return int(Decimal(size[:-1]) * UNITS[size[-1].upper()])


def heads_for(width: int, kv_heads: int | None = None) -> int:
    """Query heads: the divisor of `width` whose head size is even (RoPE turns pairs) and nearest to 64, 32 below 128.

    Where `kv_heads` is given, a multiple of it. A width that allows none gets `kv_heads` or 1.
    """
    wanted = HEAD_SIZE if width >= SMALL_WIDTH else SMALL_HEAD_SIZE
    for size in sorted(range(2, min(width, 4 * HEAD_SIZE) + 1, 2), key=lambda size: (abs(size - wanted), size)):
        if width % size == 0 and (width // size) % (kv_heads or 1) == 0:
            return width // size
    return kv_heads or 1


def kv_heads_for(heads: int) -> int:
    """Key-value heads: half of the query heads where there are at least 4 and they are even, else all.

    Grouped-query attention (arXiv 2305.13245), here halving the KV cache of rollouts and serving; Llama 3's 4 to 1
    would leave a small model a single pair.
    """
    return heads // 2 if heads >= 4 and heads % 2 == 0 else heads


def feed_forward_for(width: int, gated: bool = True) -> int:
    """8/3 of the width rounded up to a multiple of 64: SwiGLU's three matrices cost what a plain MLP's two do at 4
    times the width (Llama, arXiv 2302.13971; GPT-2)."""
    return -(-8 * width // (3 * 64)) * 64 if gated else 4 * width


def width_for(layers: int, multiple: int = 1) -> int:
    """64 per layer (nanochat's depth dial), rounded up to a multiple of what the heads need."""
    return -(-ASPECT * layers // multiple) * multiple


def shape_for(parameters: int, vocabulary: int, given: ModelShape | None = None) -> LLMConfig:
    """The decoder nearest to a parameter count, over all depths that `given` leaves open.

    Values set in `given` are kept even where they don't fit together: the result is not validated.
    """
    given = given or ModelShape()
    depths: Iterable[int] = (given.layers,) if given.layers else range(1, MOST_LAYERS + 1)
    best: LLMConfig | None = None
    for layers in depths:
        shape = _shape(layers, vocabulary, given)
        if best is None or abs(shape.num_parameters - parameters) < abs(best.num_parameters - parameters):
            best = shape
        if shape.num_parameters > 2 * parameters:  # not at the first above: grouped heads make even depths smaller
            break
    assert best is not None
    return best


def _shape(layers: int, vocabulary: int, given: ModelShape) -> LLMConfig:
    multiple = 2 * (given.heads or given.kv_heads or 1)
    width = given.width or width_for(layers, multiple)
    heads = given.heads or heads_for(width, given.kv_heads)
    plain = given.architecture == "gpt2"
    return LLMConfig.model_construct(  # unvalidated: what a person set may not fit, and is blamed with its line later
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=given.feed_forward or feed_forward_for(width, gated=not plain),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=given.kv_heads or (heads if plain else kv_heads_for(heads)),
        **given.decoder_fields,
    )


def tokens_for(parameters: int) -> int:
    """20 tokens per parameter: the compute-optimal ratio (Chinchilla, arXiv 2203.15556)."""
    return TOKENS_PER_PARAMETER * parameters


def batch_tokens_for(flops: float, sequence: int, tokens: int, accumulate: int = 1) -> int:
    """0.2920 C^0.3271 tokens (DeepSeek LLM, arXiv 2401.02954) in whole sequences, at least one per micro-batch, and
    no more than there are tokens."""
    unit = sequence * accumulate
    wanted = min(0.2920 * flops**0.3271, tokens)
    return max(1, round(wanted / unit)) * unit


def learning_rate_for(flops: float) -> float:
    """0.3118 C^-0.1250 (DeepSeek LLM, arXiv 2401.02954), to three digits."""
    return _three_digits(0.3118 * flops**-0.1250)


def derive(blueprint: Sections) -> dict[str, Derived]:
    """Every value that `size` gives because the blueprint leaves it open (None), by its dotted path."""
    pretrain, given = blueprint.pretrain, blueprint.pretrain.model
    shape = shape_for(parameters_of(blueprint.size), blueprint.tokenizer.vocabulary, given)
    found = {
        f"pretrain.model.{name}": derived
        for name, derived in _shape_rules(shape, given).items()
        if getattr(given, name) is None
    }
    tokens = pretrain.tokens or tokens_for(shape.num_parameters)
    flops = 6.0 * shape.num_parameters * tokens
    if pretrain.tokens is None and pretrain.epochs is None:
        rule = f"{TOKENS_PER_PARAMETER} tokens for each of {shape.num_parameters:,} parameters"
        found["pretrain.tokens"] = Derived(tokens, rule, "Chinchilla, arXiv 2203.15556")
    deepseek = "DeepSeek LLM, arXiv 2401.02954"
    if pretrain.batch_tokens is None:
        batch = batch_tokens_for(flops, pretrain.sequence, tokens, pretrain.accumulate)
        rule = f"0.2920 C^0.3271 at C = 6 N D = {flops:.2e} FLOPs, in whole sequences"
        found["pretrain.batch_tokens"] = Derived(batch, rule, deepseek)
    rate = pretrain.learning_rate or learning_rate_for(flops)
    if pretrain.learning_rate is None:
        rule = f"0.3118 C^-0.1250 at C = 6 N D = {flops:.2e} FLOPs"
        found["pretrain.learning_rate"] = Derived(rate, rule, deepseek)
    for stage, (share, reason) in SHARES.items():
        if getattr(blueprint, stage).learning_rate is None:
            rule = f"{share:.3g} of pretrain.learning_rate"
            found[f"{stage}.learning_rate"] = Derived(_three_digits(share * rate), rule, reason)
    return found


def llm_config(blueprint: Sections, vocabulary_size: int) -> LLMConfig:
    """The decoder of a blueprint, for a tokenizer that came out with `vocabulary_size` words.

    What is left open is derived from `tokenizer.vocabulary`, so that the shape does not change when a small corpus
    gives fewer words than were asked for.

    Raises:
        pydantic.ValidationError: set values that don't fit together (`blueprint.load` refuses such a file before).
    """
    given = blueprint.pretrain.model
    shape = shape_for(parameters_of(blueprint.size), blueprint.tokenizer.vocabulary, given)
    return LLMConfig.model_validate({**shape.model_dump(exclude_unset=True), "vocab_size": vocabulary_size})


def _shape_rules(shape: LLMConfig, given: ModelShape) -> dict[str, Derived]:
    depth = f"the depth whose parameters come nearest to the size: {shape.num_parameters:,}"
    head = f"heads of {shape.head_dim}: an even size near {HEAD_SIZE}, {SMALL_HEAD_SIZE} below width {SMALL_WIDTH}"
    grouped = "half of the heads where there are 4 or more, an even number" if shape.num_attention_heads > 3 else "all"
    rounded = ", a multiple of what the heads need" if given.heads or given.kv_heads else ""
    feed_forward = Derived(
        shape.intermediate_size, "8/3 of the width, rounded up to a multiple of 64", "Llama, arXiv 2302.13971"
    )
    kv_heads = Derived(shape.num_key_value_heads, grouped, "grouped-query attention, arXiv 2305.13245")
    if given.architecture == "gpt2":
        feed_forward = Derived(shape.intermediate_size, "4 times the width", "GPT-2")
        kv_heads = Derived(shape.num_key_value_heads, "all", "GPT-2")
    return {
        "layers": Derived(shape.num_hidden_layers, depth, "nanochat's depth dial"),
        "width": Derived(shape.hidden_size, f"{ASPECT} x layers{rounded}", "nanochat's aspect ratio"),
        "heads": Derived(shape.num_attention_heads, head, "Llama 3.2 1B and SmolLM, arXiv 2407.21783"),
        "kv_heads": kv_heads,
        "feed_forward": feed_forward,
    }


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
