"""The engine that a blueprint asks for."""

import os

from torch import nn

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.advice import Needs, check
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision, best_device
from groundup.parallel.engine import Engine
from groundup.parallel.recompute import ActivationCheckpointing
from groundup.parallel.replicas import LIGHTHOUSE, ReplicaGroup
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.optimizer import make_optimizer


def engine_for(model: nn.Module, config: LoopConfig, precision: Precision) -> Engine:
    """Put a model, the same in every process, under the engine of `config.parallel`.

    Raises:
        GroundupError: there are not as many processes as the layout asks for, or the model doesn't fit it.
    """
    parallel = config.parallel or ParallelConfig()
    check(parallel, needs_of(model, config, precision))
    if LIGHTHOUSE in os.environ and isinstance(config, PretrainConfig):
        _check_replicas(config, parallel)
        return ReplicaGroup(model, make_optimizer(config.optimizer), best_device(), precision, config.ema)
    match parallel.engine:
        case "deepspeed":
            from groundup.parallel.deepspeed.engine import DeepSpeedEngine
            from groundup.parallel.deepspeed.settings import settings
            from groundup.parallel.mesh.process_group import join, own_device

            given = settings(config, parallel, precision)
            join(parallel)
            return DeepSpeedEngine(model, make_optimizer(config.optimizer), own_device(), precision, given, config.ema)
        case "megatron":
            from groundup.parallel.megatron import library
            from groundup.parallel.mesh.process_group import join, own_device

            library.load()
            from groundup.parallel.megatron.engine import MegatronEngine

            join(parallel)
            recompute = recomputed(config) if isinstance(config, PretrainConfig) else "none"
            return MegatronEngine(
                model,
                config.optimizer,
                parallel,
                own_device(),
                precision,
                ema_decay=config.ema,
                recompute=recompute,
            )
        case "torch" if parallel.processes > 1:
            from groundup.parallel.mesh.engine import MeshEngine

            return MeshEngine(model, make_optimizer(config.optimizer), parallel, precision, config.ema)
        case _:
            return SingleDevice(model, make_optimizer(config.optimizer), best_device(), precision, config.ema)


def needs_of(model: nn.Module, config: LoopConfig, precision: Precision) -> Needs:
    """What a stage's model and configuration ask of a layout; the section follows from its type.

    The rows of a micro-batch are not known here. The blueprint's check knows them.
    """
    assert isinstance(model.config, LLMConfig), "every model that is trained has its decoder's configuration"
    pretrain = config if isinstance(config, PretrainConfig) else None
    return Needs(
        type(config).__name__.removesuffix("Config").lower(),
        model.config,
        accumulate=config.accumulate,
        sequence=pretrain.sequence if pretrain else None,
        language_model=isinstance(model, CustomLanguageModel),
        frozen=not all(parameter.requires_grad for parameter in model.parameters()),
        optimizer=config.optimizer.name,
        precision=precision,
        compiled=bool(pretrain and pretrain.compile),
        recompute=recomputed(pretrain) if pretrain else "none",
        float8=bool(pretrain and pretrain.fp8),
        layers_recorded=bool(config.telemetry and config.telemetry.layers),
    )


def recomputed(config: PretrainConfig) -> ActivationCheckpointing:
    """How layers drop their activations; a fraction of them is dropped by the compiler, not layer by layer."""
    mode = config.activation_checkpointing
    return "none" if isinstance(mode, float) else mode


def _check_replicas(config: PretrainConfig, parallel: ParallelConfig) -> None:
    """Groups reach the same decision about a step only where it depends on what all know; past losses are not."""
    if parallel.processes > 1 or parallel.engine != "torch":
        raise GroundupError(
            f"replica groups ({LIGHTHOUSE} is set) are of one process each, under the engine torch",
            where="pretrain.parallel",
            do=f"remove it, or unset {LIGHTHOUSE}",
        )
    if config.guard.skip_spikes or config.guard.on_divergence == "return":
        raise GroundupError(
            f"replica groups ({LIGHTHOUSE} is set) skip no steps, since one that comes back knows no past losses",
            where="pretrain.guard",
            do=f"remove it, or unset {LIGHTHOUSE}",
        )
