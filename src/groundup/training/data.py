"""From the `pretrain` section and the token shards to the objective: which samples, how often and how mixed."""

import math
from pathlib import Path

from groundup.errors import GroundupError
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.batch_size import BatchSizes, rising, rows_of
from groundup.training.configuration import PretrainConfig
from groundup.training.pretraining import Pretraining


def objective_of(config: PretrainConfig, shards: Path, tokenizer: Tokenizer, seed: int) -> Pretraining:
    """What is trained on the token shards in a folder: their samples in the order of `seed`, mixed as is asked for.

    Raises:
        GroundupError: a shard is damaged or of another tokenizer, or there is not enough of a source.
    """
    assert config.batch_tokens, "filled in from `size`"
    length = min(config.sequence, config.model.context)
    train, heldout = (TokenShard.open(shards, split, tokenizer) for split in ("train", "heldout"))
    stream = SampleStream(train, length, seed, weights_of(config, train, length))
    return Pretraining(
        stream,
        Windows(heldout, length) if len(heldout) > length else None,
        batch_tokens=config.batch_tokens,
        accumulate=config.accumulate,
        sizes=_sizes(config, stream),
        inside_documents=config.inside_documents,
    )


def _sizes(config: PretrainConfig, stream: SampleStream) -> BatchSizes:
    """Raises GroundupError where the batch is to be smaller at first and can't be."""
    assert config.batch_tokens, "filled in from `size`"
    rows = rows_of(config.batch_tokens, stream.length, config.accumulate)
    if config.batch_warmup is None:
        return BatchSizes(rows)
    warmup, total = config.batch_warmup, math.ceil(_samples(config, stream) / config.accumulate)
    sizes = rising(rows, total, warmup.start, warmup.fraction)
    if not sizes.rising:
        raise GroundupError(
            f"a micro-batch has {rows} sequences, and {warmup.start:g} of that rounds to the same number",
            where="pretrain.batch_warmup",
            do="lower start or pretrain.accumulate, or raise pretrain.batch_tokens",
        )
    return sizes


def weights_of(config: PretrainConfig, shard: TokenShard, length: int) -> dict[str, float] | None:
    """The weight of each source that is read, or None where all documents are read equally often. With epochs by
    source it is the number of samples that are read of it.

    Raises:
        GroundupError: the blueprint names a source that has no document.
    """
    samples = {source.name: (source.tokens - 1) // length for source in shard.sources}
    named = {"mixture": config.mixture, "epochs": config.epochs if isinstance(config.epochs, dict) else None}
    for key, weights in named.items():
        for name in weights or ():
            if name not in samples:
                raise GroundupError(
                    f"there is no document of a source {name!r}",
                    where=f"pretrain.{key}",
                    do=f"the sources are {', '.join(samples)}",
                )
    if not isinstance(config.epochs, dict):
        return config.mixture
    weights = {name: count * config.epochs.get(name, 1.0) for name, count in samples.items()}
    for name, count in samples.items():
        if count == 0 and config.epochs.get(name, 1.0):
            raise GroundupError(
                f"the documents of the source {name} are too few for one sequence of {length}",
                where="pretrain.epochs",
                do=f"leave it out with `{name}: 0`, or choose shorter sequences",
            )
    return {name: weight for name, weight in weights.items() if weight}


def steps_of(config: PretrainConfig, objective: Pretraining) -> int:
    """Optimizer steps for as many tokens as the blueprint says, or to read the documents as often as it says."""
    return objective.sizes.steps(math.ceil(_samples(config, objective.train) / objective.accumulate))


def _samples(config: PretrainConfig, stream: SampleStream) -> int:
    """How many samples are drawn at least."""
    if config.epochs is None:
        assert config.tokens, "filled in from `size`"
        return math.ceil(config.tokens / stream.length)
    weights = stream.weights or {}
    return round(sum(weights.values()) if isinstance(config.epochs, dict) else config.epochs * stream.samples)


def source_epochs(objective: Pretraining, steps: int) -> dict[str, float]:
    """How often the documents of each source are read in so many steps, by name; a source that is not read has 0."""
    read = objective.train.epochs(objective.draws(steps).start)
    if objective.train.weights is None:
        read = dict.fromkeys((source.name for source in objective.train.shard.sources), read[""])
    return {source.name: read.get(source.name, 0.0) for source in objective.train.shard.sources}
