"""The engine that a blueprint asks for."""

from torch import nn

from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision, best_device
from groundup.parallel.engine import Engine
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig
from groundup.training.optimizer import make_optimizer


def engine_for(model: nn.Module, config: LoopConfig, precision: Precision) -> Engine:
    """Put a model, the same in every process, under the engine of `config.parallel`.

    Raises:
        GroundupError: there are not as many processes as the layout asks for, or the model doesn't fit it.
    """
    parallel = config.parallel or ParallelConfig()
    match parallel.engine:
        case _:
            return SingleDevice(model, make_optimizer(config.optimizer), best_device(), precision, config.ema)
