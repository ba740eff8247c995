"""The engine: it owns the model's device, the micro-batch loop, clipping and the optimizer's step.

A training loop hands it a whole batch as micro-batches and a loss; it knows nothing of data, schedules or stages.
One process is the degenerate case of many: engines over several devices offer the same methods.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.parallel.average import WeightAverage
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Snapshot, snapshot
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.device import DTYPES, Precision

Statistics = dict[str, Tensor]  # name -> sum over the micro-batch, to be divided by its weight
Loss = Callable[[nn.Module, Any], tuple[Tensor, Statistics]]  # (model, micro-batch) -> (sum of losses, statistics)


Accept = Callable[[float, float], bool]  # (mean loss, gradient norm) -> whether the weights may take the step


class DivergedError(GroundupError):
    """The loss or the gradient is not finite."""


class RegroupedError(Exception):
    """Processes have come or gone (`replicas.py`): training continues with `step`, counted from 0."""

    def __init__(self, step: int) -> None:
        super().__init__(f"continuing with step {step + 1:,}")
        self.step = step


@dataclass(frozen=True)
class StepResult:
    """Means over the global batch, and the gradient's norm before clipping."""

    loss: float
    gradient_norm: float
    statistics: dict[str, float]
    weight: float = 0.0  # what the sums were divided by
    taken: bool = True  # False: it was not accepted, or overflowed under `fp16`, and no weight has changed


class ModelOnDevice:
    """A model on a device, with the precision of its matmuls. Weights are float32."""

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision) -> None:
        self.device, self.precision = device, precision
        # fake tensors can't be exchanged in a module, which `to` does even on the same device
        there = all(tensor.device == device for tensor in (*model.parameters(), *model.buffers()))
        self.model = model if there else model.to(device)

    @property
    def dtype(self) -> torch.dtype:
        """Of matmuls and of key-value caches."""
        return DTYPES[self.precision]

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.precision != "fp32")


class Engine(ModelOnDevice, ABC):
    """What a training loop knows of it. Every process of a job has one, and each calls the same methods in the same
    order, since most of them are collective.
    """

    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    data_rank: DataRank = SINGLE  # the part of each global batch that this process reads
    leader: bool = True  # whether this process writes files and speaks
    dropout: bool = False  # whether `train_step` applies the dropout of the model's configuration

    def begin(self, step: int) -> DataRank:
        """Which part of the batch of a step, counted from 0, this process reads.

        Raises:
            RegroupedError: another step is to be taken.
        """
        return self.data_rank

    @abstractmethod
    def train_step(
        self,
        batch: Sequence[Any],
        weights: Sequence[float],
        loss: Loss,
        learning_rate: float,
        clip_norm: float,
        where: str = "",
        accept: Accept | None = None,
    ) -> StepResult:
        """One optimizer step over micro-batches, each loss sum divided by the weight of them all.

        Args:
            batch: this process's part of the global batch; as many micro-batches in every process.
            weights: how many losses each micro-batch's loss is the sum of.
            accept: called before the weights are updated; where it returns False, they stay.

        Returns:
            Means over the global batch, the same in every process.

        Raises:
            RegroupedError: the step has to be started again; nothing has been changed.
            DivergedError: the loss or the gradient is not finite, under `fp16` not with any loss scale; nothing has
                been changed then.
        """

    @abstractmethod
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, dict[str, float]]:
        """(sum of losses, sums of statistics) of micro-batches that are the same in every process, without training."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Trained weights (`model.NAME`), optimizer state (`optimizer.KEY.NAME`), averages (`average.NAME`) and the
        loss scale (`scaler.NAME`), whole, on the CPU, under the model's own parameter names; in processes that do not
        lead it may be empty."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned, of this engine or of another."""

    def snapshot(self) -> Snapshot:
        """A copy, in the CPU's memory, of what this process has to save of what `state` gives."""
        return snapshot(self.state())

    def load(self, files: TensorFiles) -> None:
        """Restore what the processes' snapshots held, of this engine or of another, under any layout."""
        self.restore(files.whole())

    @abstractmethod
    def whole(self) -> AbstractContextManager[nn.Module]:
        """Within it: the model with all of its weights in this process, to sample from or to save."""

    @abstractmethod
    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the model has its averaged weights, where an average is kept."""
        return self.average.in_place() if self.average else nullcontext()

    def close(self) -> None:
        """Leave the job."""
