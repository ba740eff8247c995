"""The engine that a blueprint asks for."""

from torch import nn

from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision, best_device
from groundup.parallel.engine import Engine
from groundup.parallel.mesh.schedules import check_micro_batches
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.optimizer import make_optimizer


def engine_for(model: nn.Module, config: LoopConfig, precision: Precision) -> Engine:
    """Put a model, the same in every process, under the engine of `config.parallel`.

    Raises:
        GroundupError: there are not as many processes as the layout asks for, or the model doesn't fit it.
    """
    parallel = config.parallel or ParallelConfig()
    _check_dropout(model, parallel)
    match parallel.engine:
        case "deepspeed":
            from groundup.parallel.deepspeed.engine import DeepSpeedEngine
            from groundup.parallel.deepspeed.settings import settings
            from groundup.parallel.mesh.process_group import join, place

            given = settings(config, parallel, precision)
            join(parallel)
            return DeepSpeedEngine(model, make_optimizer(config.optimizer), place(), precision, given, config.ema)
        case "megatron":
            from groundup.parallel.megatron import library
            from groundup.parallel.mesh.process_group import join, place

            library.load()
            from groundup.parallel.megatron.engine import MegatronEngine

            if config.telemetry and config.telemetry.layers:
                raise GroundupError(
                    "Megatron's layers can't be watched one by one",
                    where="telemetry.layers",
                    do="leave it out, or set parallel.engine to torch",
                )
            join(parallel)
            recompute = config.activation_checkpointing if isinstance(config, PretrainConfig) else "none"
            return MegatronEngine(
                model,
                config.optimizer,
                parallel,
                place(),
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
