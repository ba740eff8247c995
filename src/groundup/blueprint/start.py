"""What a blueprint takes from the model that it starts with, instead of deriving it from `size`."""

from pathlib import Path
from typing import Any

from groundup.blueprint.configuration import Blueprint
from groundup.model.configuration import LLMConfig
from groundup.model.huggingface_config import family_of
from groundup.planning.size import Derived
from groundup.training.start_config import locate

SOURCE = "start.model"
REWARMED = 0.3
ARCHITECTURES = {"qwen2": "llama", "qwen3_moe": "mixtral"}  # the nearest that a blueprint can name


def start_values(blueprint: Blueprint, base: Path) -> dict[str, Derived]:
    """`size`, the tokenizer's and the model's shape, and one pass over the documents where nothing else is asked for.

    The shape is what planning and checks need of it; the stage itself reads the model.

    Raises:
        GroundupError: the model isn't there, or of an unknown family.
    """
    if blueprint.start is None:
        return {}
    shape = locate(blueprint.start, base).shape
    values: dict[str, Any] = {"size": _size(shape.num_parameters), "tokenizer.vocabulary": shape.vocab_size}
    values |= {f"pretrain.model.{name}": value for name, value in _model(shape).items()}
    found = {name: Derived(value, "as the model has it", SOURCE) for name, value in values.items()}
    if blueprint.pretrain.tokens is None and blueprint.pretrain.epochs is None:
        found["pretrain.epochs"] = Derived(1.0, "one pass over the documents", SOURCE)
    return found


def rewarmed(blueprint: Blueprint, derived: dict[str, Derived]) -> dict[str, Derived]:
    """The peak rate of continued pretraining: a part of that for random weights (arXiv 2403.08763)."""
    rate = derived["pretrain.learning_rate"].value if "pretrain.learning_rate" in derived else None
    if blueprint.start is None or not isinstance(rate, float):
        return {}
    rule = f"{REWARMED:g} of the rate for random weights: warmed up again and decayed"
    return {"pretrain.learning_rate": Derived(float(f"{REWARMED * rate:.3g}"), rule, "arXiv 2403.08763")}


def _size(parameters: int) -> str:
    unit, name = next((unit, name) for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if parameters >= unit)
    return f"{parameters / unit:.6g}{name}"


def _model(shape: LLMConfig) -> dict[str, Any]:
    family = family_of(shape)
    return {
        "architecture": "fast" if shape.shortcuts else ARCHITECTURES.get(family, family),
        "layers": shape.num_hidden_layers,
        "width": shape.hidden_size,
        "heads": shape.num_attention_heads,
        "kv_heads": shape.num_key_value_heads,
        "feed_forward": shape.intermediate_size,
        "context": shape.max_position_embeddings,
        "tied": shape.tie_word_embeddings,
    }
