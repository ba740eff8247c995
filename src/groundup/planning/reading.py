"""How much pretraining reads, and how often of each source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from groundup.training.configuration import PretrainConfig


@dataclass(frozen=True)
class Reading:
    """What pretraining reads."""

    tokens: int
    epochs: Mapping[str, float] = field(default_factory=dict)
    """How often each source is read, by name; where all are read alike, or are not known yet, by "" all documents."""
    lever: str = "pretrain.epochs"
    """What to lower to read less."""
    assumed: tuple[str, ...] = ()


def reading(config: PretrainConfig, tokens: int, sources: Mapping[str, int]) -> Reading:
    """What a `pretrain` section reads of a corpus.

    Args:
        tokens: of the corpus, once through.
        sources: tokens of each source by name; empty where they are not known yet.
    """
    if isinstance(config.epochs, dict):
        often = {name: config.epochs.get(name, 1.0) for name in sources}
        if sources:
            return Reading(round(sum(often[name] * count for name, count in sources.items())), often)
        mean = sum(config.epochs.values()) / max(1, len(config.epochs))
        return Reading(round(mean * tokens), {"": mean}, assumed=("sources in pretrain.epochs are of equal size",))
    if config.epochs is not None:
        return Reading(round(config.epochs * tokens), {"": config.epochs})
    assert config.tokens, "filled in from `size`"
    if config.mixture and sources.keys() >= config.mixture.keys():
        whole = sum(config.mixture.values())
        often = {name: weight / whole * config.tokens / sources[name] for name, weight in config.mixture.items()}
        return Reading(config.tokens, often, "its weight in pretrain.mixture")
    return Reading(config.tokens, {"": config.tokens / tokens}, "pretrain.tokens")
