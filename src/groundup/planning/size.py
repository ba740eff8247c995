"""The one dial: from `size: 4M` to width, depth, tokens, batch and learning rates, each by a published rule.

    size, vocabulary -> layers, width, heads, feed_forward -> N parameters
    N                -> tokens D = 20 N
    C = 6 N D        -> batch_tokens, pretrain.learning_rate -> the later stages' learning rates

A value that the person set is never touched, and what follows is derived from it: with `tokens` set, batch and rate
follow from the real compute. All functions are pure. The batch and rate rules were fitted between 1e17 and 2e19
FLOPs; far below that they extrapolate.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from math import log
from typing import Protocol

from groundup.alignment.configuration import DpoConfig, GrpoConfig, PpoConfig, RewardConfig, SftConfig
from groundup.model.configuration import LLMConfig, feed_forward_for, head_size_for, heads_for
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.training.configuration import ModelShape, PretrainConfig

ASPECT, LARGE_ASPECT, LARGE = 64, 128, 10**9  # width per layer, and from how many parameters on it is the larger
OFF_WEIGHT = 10.0  # how much a miss of the size counts against a shape unlike published ones
MAX_LAYERS, MAX_WIDTH = 512, 32_768
TOKENS_PER_PARAMETER = 20
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9}

# Muon bears a faster rate than AdamW, by which the later stages train: 5e-3 and 2e-3 were best at 4M parameters
# (docs/experiments.md).
MUON_OVER_ADAMW = 2.5

# A later stage's peak rate as a fraction of pretraining's, under Muon of two fifths of it, and why. Edit here.
RATE_FRACTIONS: dict[str, tuple[float, str]] = {
    "sft": (1.0, "answers must be learnt word for word, by a fresh optimizer (docs/experiments.md)"),
    "reward": (0.15, "one pass over the pairs; three times as fast forgets what the answers are (docs/experiments.md)"),
    "ppo": (0.015, "1e-5 with 6e-4 at 124M parameters, the field's usual pair (docs/experiments.md)"),
    "grpo": (0.015, "as PPO's: both follow the same clipped policy gradient"),
    "dpo": (
        0.01,
        "summed log-probabilities give large gradients; faster rates make both answers unlikely; arXiv 2305.18290",
    ),
}


class Sections(Protocol):
    """The part of a blueprint that the dial reads; the blueprint itself is above this room."""

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
    def grpo(self) -> GrpoConfig: ...
    @property
    def dpo(self) -> DpoConfig: ...


@dataclass(frozen=True)
class Derived:
    """A value that nobody wrote, the rule that gave it, and where the rule is from."""

    value: int | float | str | bool | tuple[float, ...]
    rule: str
    source: str


def parameters_of(size: str) -> int:
    """`4M` -> 4,000,000; K, M and B mean 10^3, 10^6 and 10^9."""
    return int(Decimal(size[:-1]) * UNITS[size[-1].upper()])


def kv_heads_for(heads: int) -> int:
    """Key-value heads: 8 where the query heads are a multiple of 8 from 16 on, half of them where there are at least 4
    and they are even, else all.

    Grouped-query attention (arXiv 2305.13245). Large models have 8 groups (Llama 2 70B, Llama 3), one for each of 8
    tensor parallel devices; in a small one that would save nothing, and 4 to 1 would leave it a single pair.
    """
    if heads >= 16 and heads % 8 == 0:
        return 8
    return heads // 2 if heads >= 4 and heads % 2 == 0 else heads


def widths(multiple: int = 1) -> Iterator[int]:
    """The widths that are tried, each rounded up to a multiple of what the heads need.

    Steps that leave heads of their size, and from 1,024 on a multiple of 8 of them, for tensor parallelism.
    """
    width = 32
    while width <= MAX_WIDTH:
        yield -(-width // multiple) * multiple
        steps = ((128, 32), (1024, 64), (3072, 512), (8192, 1024), (MAX_WIDTH + 1, 2048))
        width += next(step for below, step in steps if width < below)


def shape_for(parameters: int, vocabulary: int, given: ModelShape | None = None) -> LLMConfig:
    """The decoder near a parameter count whose shape is most like those of published models.

    Of all widths and depths that `given` leaves open the one with the least `misfit`. Values set in `given` are kept
    even where they don't fit together: the result is not validated.
    """
    given = given or ModelShape()
    best: tuple[float, LLMConfig] | None = None
    for width in [given.width] if given.width else widths(2 * (given.heads or given.kv_heads or 1)):
        found = _at_width(width, parameters, vocabulary, given)
        if best is None or found[0] < best[0]:
            best = found
        if found[1].num_parameters > 4 * parameters:
            break  # wider ones are larger still
    assert best is not None
    return best[1]


def misfit(found: int, layers: int, width: int, wanted: int) -> float:
    """How far a shape of `found` parameters is from those wanted and from a width per layer of 64 (GPT-2, nanochat's
    dial), 128 from a billion parameters on (Llama 2 and 3): ten times the first logarithm, and the square of the other.

    So a miss of 5 % weighs as much as twice the usual width per layer.
    """
    aspect = LARGE_ASPECT if wanted >= LARGE else ASPECT
    return OFF_WEIGHT * abs(log(found / wanted)) + log(width / layers / aspect) ** 2


def largest(vocabulary: int, given: ModelShape) -> int:
    """The parameters of the largest decoder that is tried."""
    return _shape(given.layers or MAX_LAYERS, given.width or MAX_WIDTH, vocabulary, given).num_parameters


def _at_width(width: int, parameters: int, vocabulary: int, given: ModelShape) -> tuple[float, LLMConfig]:
    """The least misfit at a width, and the shape that has it.

    Depths begin at 2: what a model copies from its context takes two layers (arXiv 2209.11895). From a width of 2,048
    on they are even, so that pipelines can cut them in two.
    """
    one, two = (_shape(layers, width, vocabulary, given).num_parameters for layers in (1, 2))
    depths: Iterable[int] = (given.layers,) if given.layers else ()
    if not depths:
        most = 3 + 2 * parameters // (two - one)  # twice the parameters: deeper ones only get worse
        depths = range(2, max(3, min(most, MAX_LAYERS + 1)), 2 if width >= 2048 else 1)
    misfits = ((misfit(one + (n - 1) * (two - one), n, width, parameters), n) for n in depths)
    least, layers = min(misfits)
    return least, _shape(layers, width, vocabulary, given)


def _shape(layers: int, width: int, vocabulary: int, given: ModelShape) -> LLMConfig:
    heads = given.heads or heads_for(width, given.kv_heads)
    plain = given.architecture in ("gpt2", "fast")  # no gate in the feed-forward part
    return LLMConfig.model_construct(  # unvalidated: what a person set may not fit, and is blamed with its line later
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=given.feed_forward or feed_forward_for(width, gated=not plain),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=given.kv_heads or (heads if given.architecture == "gpt2" else kv_heads_for(heads)),
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
    muon = pretrain.optimizer.name == "muon"
    for stage, (fraction, reason) in RATE_FRACTIONS.items():
        fraction /= MUON_OVER_ADAMW if muon else 1
        if getattr(blueprint, stage).learning_rate is None:
            rule = f"{fraction:.3g} of pretrain.learning_rate"
            found[f"{stage}.learning_rate"] = Derived(_three_digits(fraction * rate), rule, reason)
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
    near = f"{shape.num_parameters:,} parameters near the size, {shape.hidden_size / shape.num_hidden_layers:.0f}"
    aspect = "GPT-2 and nanochat have 64, Llama 3 has 102 to 128"
    head = f"heads of {shape.head_dim}: an even size near {head_size_for(shape.hidden_size)}"
    heads, kv = shape.num_attention_heads, shape.num_key_value_heads
    grouped = "all" if kv == heads else "half of the heads" if kv == heads // 2 and kv != 8 else "8 groups"
    rounded = ", a multiple of what the heads need" if given.heads or given.kv_heads else ""
    times = "7/2" if shape.hidden_size >= 4096 else "8/3"
    feed_forward = Derived(
        shape.intermediate_size,
        f"{times} of the width, rounded up to a multiple of {256 if shape.hidden_size >= 1024 else 64}",
        "Llama, arXiv 2302.13971, 2407.21783",
    )
    kv_heads = Derived(shape.num_key_value_heads, grouped, "grouped-query attention, arXiv 2305.13245")
    if given.architecture in ("gpt2", "fast"):
        feed_forward = Derived(shape.intermediate_size, "4 times the width", "GPT-2")
    if given.architecture == "gpt2":
        kv_heads = Derived(shape.num_key_value_heads, "all", "GPT-2")
    return {
        "layers": Derived(shape.num_hidden_layers, f"{near} of width a layer", aspect),
        "width": Derived(shape.hidden_size, f"{near} for each layer{rounded}", aspect),
        "heads": Derived(shape.num_attention_heads, head, "Llama 3.2 1B and SmolLM, arXiv 2407.21783"),
        "kv_heads": kv_heads,
        "feed_forward": feed_forward,
    }


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
