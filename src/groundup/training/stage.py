"""The `pretrain` stage: token shards to a model's first weights."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import ValidationError

from groundup.artifacts import Artifact, Figures, Work
from groundup.errors import GroundupError
from groundup.model.adapter_files import save_adapter
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import add_adapters
from groundup.model.weights import load_model, save_model
from groundup.parallel import float8
from groundup.parallel.device import best_device, resolve_precision, settle
from groundup.parallel.engine import Engine
from groundup.parallel.recompute import checkpoint_blocks
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.checkpoint import Checkpoints
from groundup.training.compilation import compile_training
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.data import objective_of, source_epochs, steps_of
from groundup.training.engines import engine_for, recomputed
from groundup.training.loop import TrainPlan, keep_lasting, train
from groundup.training.pretraining import Pretraining
from groundup.training.start import GENERAL, general_bits, grown, rebuilt
from groundup.training.telemetry import flops_of, publish


def stage(
    config: PretrainConfig,
    inputs: Mapping[str, Artifact],
    work: Work,
    look: Callable[[Engine], dict[str, float]] = lambda engine: {},
) -> Figures:
    """Train a new decoder on the train split; writes `model/` and `records/metrics.jsonl`.

    Args:
        look: gives further figures at each validation; collective.
    """
    settle()
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    assert config.learning_rate, "filled in from `size`"
    start = inputs.get("start")
    model = load_model(start.path / "model") if start else None
    engine, objective = begin(config, inputs["tokens"].path, tokenizer, work.seed, model)
    llm_config = engine.model.config
    assert isinstance(llm_config, LLMConfig)
    general = _general(start)
    before = general_bits(engine, general, tokenizer, objective.train.length) if general else None
    compiled = compile_training(engine, objective, config, work.keep, work.progress)
    plan = TrainPlan(steps_of(config, objective), config.learning_rate, config, config.validate_every)
    checkpoints, metrics = Checkpoints(work.keep, config, config.parallel), work.keep / "metrics.jsonl"
    validation = train(
        engine,
        objective,
        plan,
        title="pretrain",
        checkpoints=checkpoints,
        metrics_path=metrics,
        progress=work.progress,
        documents=lambda step: list(dict.fromkeys(span.id for span in objective.spans(step))),
        flops=lambda batch: flops_of(llm_config, objective.lengths(batch)),
        look=look,
    )
    with engine.whole() as whole:
        assert isinstance(whole, CustomLanguageModel)
        if engine.leader:
            save_model(work.out / "model", grown(whole, tokenizer.vocabulary_size) if start else whole)
            if config.lora:
                save_adapter(work.out / "adapter", whole)
    if engine.leader:
        publish(work.keep, work.records)
        keep_lasting(checkpoints, work.records)
    tokens = objective.draws(plan.steps).start * objective.train.length
    forgetting = {}
    results = f", validation loss {validation['heldout_loss']:.3f}" if "heldout_loss" in validation else ""
    if general and before:
        after = general_bits(engine, general, tokenizer, objective.train.length)
        forgetting = {"general_bits_per_byte": {"before": before, "after": after}}
        results += f", {before:.3f} to {after:.3f} bits per byte on general text"
    return {
        "summary": f"{llm_config.num_parameters / 1e6:,.1f}M parameters read {tokens:,} tokens{results}",
        "parameters": llm_config.num_parameters,
        "steps": plan.steps,
        "tokens": tokens,
        "epochs": tokens / (objective.train.samples * objective.train.length),
        "source_epochs": source_epochs(objective, plan.steps),
        "precision": engine.precision,
        "compiled": compiled,
        **validation,
        **forgetting,
    }


def _general(start: Artifact | None) -> Path | None:
    """The text on which forgetting is measured."""
    path = start.path / GENERAL if start else None
    return path if path is not None and path.is_file() else None


def begin(
    config: PretrainConfig, shards: Path, tokenizer: Tokenizer, seed: int, model: CustomLanguageModel | None = None
) -> tuple[Engine, Pretraining]:
    """A model under its engine, and what it is trained on.

    Args:
        model: to continue with; None: a new one.

    Raises:
        GroundupError: the shape, the layout or the shards don't fit.
    """
    precision = resolve_precision(config.precision, best_device())
    objective = objective_of(config, shards, tokenizer, seed)
    dropout = config.model.dropout
    if model is not None:
        model = rebuilt(model, attention_dropout=dropout, resid_pdrop=dropout, embd_pdrop=dropout)
    else:
        model = CustomLanguageModel(decoder_config(config.model, tokenizer.vocabulary_size), seed=seed)
    if config.lora:
        add_adapters(model, config.lora, seed)
    if config.fp8:
        float8.convert(model.model.layers, best_device(), precision)
    checkpoint_blocks(model.model.layers, recomputed(config))
    engine = engine_for(model, config, precision)
    engine.dropout = (config.lora.dropout if config.lora else dropout) > 0
    torch.manual_seed(seed + engine.data_rank.rank)  # what dropout draws from; checkpoints hold how far it has come
    return engine, objective


def decoder_config(shape: ModelShape, vocabulary_size: int) -> LLMConfig:
    """The decoder that a fully given shape describes.

    Raises:
        GroundupError: the numbers don't fit together (heads that don't divide the width).
    """
    given = (shape.width, shape.layers, shape.heads, shape.kv_heads, shape.feed_forward)
    width, layers, heads, kv_heads, feed_forward = (value or 0 for value in given)
    try:
        return LLMConfig(
            vocab_size=vocabulary_size,
            hidden_size=width,
            intermediate_size=feed_forward,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            **shape.decoder_fields,
        )
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise GroundupError(what, where="pretrain.model", do="change width, heads or kv_heads") from error
