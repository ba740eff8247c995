"""The engine that a blueprint asks for."""

import os

import torch
from torch import nn

from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision, best_device
from groundup.parallel.engine import Engine
from groundup.parallel.mesh.schedules import check_micro_batches
from groundup.parallel.recompute import ActivationCheckpointing
from groundup.parallel.replicas import LIGHTHOUSE, ReplicaGroup
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.optimizer import make_optimizer

MUON_SINCE = "2.13"  # over dp_shard and tp together


def engine_for(model: nn.Module, config: LoopConfig, precision: Precision) -> Engine:
    """Put a model, the same in every process, under the engine of `config.parallel`.

    Raises:
        GroundupError: there are not as many processes as the layout asks for, or the model doesn't fit it.
    """
    parallel = config.parallel or ParallelConfig()
    _check_dropout(model, parallel)
    if isinstance(config, PretrainConfig) and config.compile:
        _check_compile(parallel)
    _check_muon(config, parallel)
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

            if precision == "fp16":
                raise GroundupError(
                    "the Megatron engine trains in fp32 or bf16, not in fp16",
                    where="pretrain.precision",
                    do="choose one of the two, or parallel.engine: torch",
                )
            library.load()
            from groundup.parallel.megatron.engine import MegatronEngine

            if config.telemetry and config.telemetry.layers:
                raise GroundupError(
                    "Megatron's layers can't be watched one by one",
                    where="telemetry.layers",
                    do="leave it out, or set parallel.engine to torch",
                )
            join(parallel)
            recompute = recomputed(config) if isinstance(config, PretrainConfig) else "none"
            return MegatronEngine(
                model,
                config.optimizer,
                parallel,
                own_device(),
                precision,
                ema_decay=config.ema,
                accumulate=config.accumulate,
                recompute=recompute,
            )
        case "torch" if parallel.processes > 1:
            from groundup.parallel.mesh.engine import MeshEngine

            check_micro_batches(parallel, config.accumulate)
            return MeshEngine(model, make_optimizer(config.optimizer), parallel, precision, config.ema)
        case _:
            return SingleDevice(model, make_optimizer(config.optimizer), best_device(), precision, config.ema)


def recomputed(config: PretrainConfig) -> ActivationCheckpointing:
    """How layers forget their activations; a share of them is left out by compiling, not by layers."""
    mode = config.activation_checkpointing
    return "none" if isinstance(mode, float) else mode


def _check_replicas(config: PretrainConfig, parallel: ParallelConfig) -> None:
    """Groups decide alike about a step only where that depends on what they share, which past losses are not."""
    if parallel.processes > 1 or parallel.engine != "torch":
        raise GroundupError(
            f"replica groups ({LIGHTHOUSE} is set) are of one process each, under the engine torch",
            where="pretrain.parallel",
            do=f"leave it out, or unset {LIGHTHOUSE}",
        )
    if config.guard.skip_spikes or config.guard.on_divergence == "return":
        raise GroundupError(
            f"replica groups ({LIGHTHOUSE} is set) skip no steps, since one that comes back knows no past losses",
            where="pretrain.guard",
            do=f"leave it out, or unset {LIGHTHOUSE}",
        )


def _check_compile(parallel: ParallelConfig) -> None:
    """Compiled layers that compute with parts of a weight or of a row are not proven right: processes that share one
    cache of compiled code have trained wrongly, and silently (pytorch/pytorch issue 188390). Under dp_shard a layer
    computes with whole weights; the code ends where they are gathered, and goes on behind it."""
    if parallel.engine != "torch" or parallel.tp * parallel.cp * parallel.ep > 1:
        raise GroundupError(
            "compilation is there for the engine torch, without tp, cp and ep",
            where="pretrain.compile",
            do="leave it out, or choose dp_replicate, dp_shard or pp",
        )
    if parallel.schedule == "zero_bubble" and parallel.pp > 1:
        raise GroundupError(
            "the schedule zero_bubble doesn't go with compilation",
            where="parallel.schedule",
            do="take 1f1b, or leave pretrain.compile out",
        )


def _check_muon(config: LoopConfig, parallel: ParallelConfig) -> None:
    """Older releases can't hand on whole matrices that are cut both by output and by sharding."""
    if config.optimizer.name == "muon" and parallel.tp > 1 and parallel.dp_shard > 1 and torch.__version__ < MUON_SINCE:
        raise GroundupError(
            f"Muon under dp_shard and tp together needs PyTorch {MUON_SINCE}, this is {torch.__version__}",
            where="parallel",
            do="set one of them to 1, or optimizer.name to adamw",
        )


def _check_dropout(model: nn.Module, parallel: ParallelConfig) -> None:
    """Where one token's numbers lie in several processes, or in another library's layers, what is left out would
    differ from a single process's: it is not built."""
    drops = any(isinstance(module, nn.Dropout) for module in model.modules())
    if drops and (parallel.engine == "megatron" or parallel.tp * parallel.cp > 1):
        raise GroundupError(
            "dropout is there for the engines torch and deepspeed, without tp and cp",
            where="pretrain.model.dropout",
            do="set it to 0, or choose dp_replicate, dp_shard or pp",
        )
