"""The ladder of `groundup scale`: which small models to train, for how long, at which rates.

Sizes N and budgets C make a grid of rungs; each reads D = C / 6 N tokens, so that the rungs of a budget are an isoFLOP
(arXiv 2203.15556, approach 2) and all of them determine the law (approach 3). One more model, larger than all others
and with twice the largest budget, is the held-out one, which no fit sees.

N is a token's training FLOPs over 6, as DeepSeek LLM counts (arXiv 2401.02954): in a small model the head and attention
are much of the work, and C = 6 N D is then exact. An embedding that is only looked up is not in it.

Rates follow the rules by which `size` derives them (`planning.size`). Where the blueprint sets batch or rate itself,
the rules' exponents scale them from the blueprint's own compute: batch as C^0.3271, AdamW's rate as C^-0.1250. Muon's
stays: its update has the same size at every width (arXiv 2502.16982).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.planning.configuration import ScaleConfig
from groundup.planning.scaling import FLOPS_PER_PARAMETER_TOKEN
from groundup.planning.size import Derived, Sections, parameters_of, shape_for, tokens_for
from groundup.training.configuration import PretrainConfig

FRACTION = 0.2  # of pretraining's FLOPs, which a ladder takes where the blueprint doesn't say
SIZES = 4  # of the rungs that are fitted
BETWEEN = 1.35  # the factor between sizes, at least
STEP = 1.05  # in which sizes are tried
BUDGET_RATIO = 2.0
MIN_STEPS = 20  # optimizer steps of a rung
BATCH_EXPONENT, RATE_EXPONENT = 0.3271, -0.1250  # DeepSeek LLM, arXiv 2401.02954
SHAPE = ("layers", "width", "heads", "kv_heads", "feed_forward")


class LadderSections(Sections, Protocol):
    """The part of a blueprint that a ladder is made from; the blueprint itself is above this room."""

    @property
    def scale(self) -> ScaleConfig: ...


@dataclass(frozen=True)
class Rung:
    """One small model before it is trained."""

    size: str
    """As the blueprint's `size` would say it."""
    n: float
    """FLOPs of a token over 6."""
    tokens: int
    budget: int
    """Counted from 0; the rungs of a budget take the same FLOPs."""
    overrides: tuple[str, ...]
    """`--set` values that turn the blueprint into this rung's."""
    heldout: bool = False

    @property
    def flops(self) -> float:
        return FLOPS_PER_PARAMETER_TOKEN * self.n * self.tokens

    @property
    def name(self) -> str:
        return f"{self.size}, {self.tokens / 1e6:.3g}M tokens"


def multiplied(model: LLMConfig, sequence: int) -> float:
    """N of a model: its training FLOPs per token over 6."""
    return model.flops_per_token(min(sequence, model.max_position_embeddings)) / FLOPS_PER_PARAMETER_TOKEN


def ladder(blueprint: LadderSections, derived: Mapping[str, Derived] | None = None) -> tuple[Rung, ...]:
    """The rungs, the cheapest first and the held-out one last.

    Args:
        blueprint: with its derived values filled in.
        derived: those values, by dotted path; batch and rate that are not among them are scaled, not derived again.

    Raises:
        GroundupError: too few different sizes, or too little compute for them.
    """
    config, derived = blueprint.scale, derived or {}
    whole = config.flops or FRACTION * pretraining_flops(blueprint)
    shapes = _shapes(blueprint, whole)
    fitted, (last_size, last_n) = shapes[:-1], shapes[-1]
    ratios = [BUDGET_RATIO**step for step in range(config.budgets)]
    first = whole / (len(fitted) * sum(ratios) + BUDGET_RATIO * ratios[-1])
    rungs = [
        _rung(blueprint, derived, size, n, first * ratio, budget)
        for budget, ratio in enumerate(ratios)
        for size, n in reversed(fitted)
    ]
    last = first * ratios[-1] * BUDGET_RATIO
    return (*rungs, _rung(blueprint, derived, last_size, last_n, last, len(ratios), heldout=True))


def pretraining_flops(blueprint: Sections) -> float:
    """What the blueprint's own pretraining takes, from `tokens` (20 per parameter where it reads by epochs)."""
    model = shape_for(parameters_of(blueprint.size), blueprint.tokenizer.vocabulary, blueprint.pretrain.model)
    tokens = blueprint.pretrain.tokens or tokens_for(model.num_parameters)
    return FLOPS_PER_PARAMETER_TOKEN * multiplied(model, blueprint.pretrain.sequence) * tokens


def open_shape(blueprint: Sections, parameters: int) -> LLMConfig:
    """The decoder of so many parameters, of the blueprint's architecture; width and depth follow from the size."""
    free = blueprint.pretrain.model.model_copy(update=dict.fromkeys(SHAPE))
    return shape_for(parameters, blueprint.tokenizer.vocabulary, free)


def size_for(blueprint: Sections, n: float) -> tuple[str, LLMConfig]:
    """The `size` whose model has the N nearest to this one, and that model."""
    low, high = n / 4, 8 * n
    for _ in range(24):
        middle = math.sqrt(low * high)
        below = multiplied(open_shape(blueprint, round(middle)), blueprint.pretrain.sequence) < n
        low, high = (middle, high) if below else (low, middle)
    near = [open_shape(blueprint, round(size)) for size in (low / STEP, low, high, high * STEP)]
    best = min(near, key=lambda model: abs(math.log(multiplied(model, blueprint.pretrain.sequence) / n)))
    return written(best.num_parameters), best


def written(parameters: float) -> str:
    """`320K`, `4.1M`, `1.5B`."""
    for unit, scale in (("B", 1e9), ("M", 1e6)):
        if parameters >= scale:
            return f"{float(f'{parameters / scale:.3g}'):g}{unit}"
    return f"{max(1, round(parameters / 1e3))}K"


def _shapes(blueprint: LadderSections, whole: float) -> list[tuple[str, float]]:
    """(size, N) of different models, the smallest first."""
    config, sequence = blueprint.scale, blueprint.pretrain.sequence
    if config.sizes:
        found = [(size, multiplied(open_shape(blueprint, parameters_of(size)), sequence)) for size in config.sizes]
        if any(n >= larger for (_, n), (_, larger) in pairwise(found)):
            raise GroundupError(
                "two of the sizes give the same model, or a smaller one after a larger one",
                where="scale.sizes",
                do="name sizes further apart, the smallest first",
            )
        return found
    middle = whole / (SIZES * config.budgets)  # about a rung's
    center = math.sqrt(middle / FLOPS_PER_PARAMETER_TOKEN / 20)
    found = []
    for size, n in _candidates(blueprint, sequence):
        found.append((size, n))
        least = found[-SIZES - 1 :]
        if len(least) > SIZES and math.sqrt(least[0][1] * least[-2][1]) >= center:
            break
    return found[-SIZES - 1 :]


def _candidates(blueprint: LadderSections, sequence: int) -> Iterator[tuple[str, float]]:
    """Models of all sizes from the smallest one, none less than `BETWEEN` times the one before."""
    parameters, before = float(open_shape(blueprint, 1).num_parameters), 0.0
    while True:
        model = open_shape(blueprint, round(parameters))
        n = multiplied(model, sequence)
        if n >= BETWEEN * before:
            before = n
            yield written(model.num_parameters), n
        parameters *= STEP


def _rung(
    blueprint: LadderSections,
    derived: Mapping[str, Derived],
    size: str,
    n: float,
    flops: float,
    budget: int,
    heldout: bool = False,
) -> Rung:
    tokens = flops / FLOPS_PER_PARAMETER_TOKEN / n
    pretrain, relative = blueprint.pretrain, flops / pretraining_flops(blueprint)
    values: dict[str, object] = {"size": size, "pretrain.tokens": round(tokens), "pretrain.epochs": "null"}
    values |= {"pretrain.batch_warmup": "null", **{f"pretrain.model.{name}": "null" for name in SHAPE}}
    values["pretrain.batch_tokens"] = values["pretrain.learning_rate"] = "null"
    if "pretrain.batch_tokens" not in derived:
        values["pretrain.batch_tokens"] = _batch(pretrain, relative)
    if "pretrain.learning_rate" not in derived:
        assert pretrain.learning_rate, "filled in from `size`"
        exponent = 0.0 if pretrain.optimizer.name == "muon" else RATE_EXPONENT
        values["pretrain.learning_rate"] = float(f"{pretrain.learning_rate * relative**exponent:.3g}")
    if tokens < MIN_STEPS * pretrain.sequence * pretrain.accumulate:
        raise GroundupError(
            f"a model of {size} would read only {tokens:,.0f} tokens",
            where="scale.flops",
            do="raise it, lower scale.sizes, or lower tokenizer.vocabulary (much of a small model is its head)",
        )
    return Rung(size, n, round(tokens), budget, tuple(f"{key}={value}" for key, value in values.items()), heldout)


def _batch(pretrain: PretrainConfig, relative: float) -> int:
    """The blueprint's own batch, for another compute; in whole sequences."""
    assert pretrain.batch_tokens, "filled in from `size`"
    unit = pretrain.sequence * pretrain.accumulate
    return max(1, round(pretrain.batch_tokens * relative**BATCH_EXPONENT / unit)) * unit
