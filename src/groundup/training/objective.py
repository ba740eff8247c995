"""What the training loop asks of that which is trained."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Snapshot
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Engine, Statistics, StepResult


class Objective(ABC):
    """Pretraining, SFT, a reward model, preferences, a policy.

    A step of the loop is `updates` optimizer steps, after one `prepare`. Most objectives need neither: their step is
    one update. A policy prepares by sampling answers, and then trains on them a few times.

    >>> from torch import nn, tensor
    >>> class Mean(Objective):
    ...     unit = "numbers"
    ...     def batches(self, update, data_rank):
    ...         return [tensor([1.0, 3.0])]
    ...     def weight(self, batch):
    ...         return len(batch)
    ...     def loss(self, model, batch):
    ...         return ((model.bias - batch) ** 2).sum(), {}
    >>> Mean().loss(nn.Linear(1, 1), tensor([1.0]))[0].item() >= 0
    True
    """

    unit: str  # what `weight` counts: "tokens", "pairs"
    updates: int = 1  # optimizer steps in each step of the loop

    def prepare(self, step: int, engine: Engine) -> dict[str, float]:
        """Get ready for the updates of a step, counted from 0; returns figures for the step's row of metrics."""
        return {}

    @abstractmethod
    def batches(self, update: int, data_rank: DataRank) -> Sequence[Any]:
        """The micro-batches of an update, counted from 0 over all steps, that `data_rank` reads.

        A function of the arguments and of the last `prepare` alone. Every rank has the same number of micro-batches;
        together they hold the same examples for any number of ranks.
        """

    @abstractmethod
    def weight(self, batch: Any) -> float:
        """How many losses a micro-batch's loss is the sum of."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Statistics]:
        """(sum of losses, sums of other figures for the metrics)."""

    def after(self, update: int, batches: Sequence[Any], learning_rate: float, result: StepResult) -> dict[str, float]:
        """Called after each update with what it was given and its result; returns further figures of the update."""
        return {}

    def enough(self) -> bool:
        """Asked after each update: whether the step's remaining updates are skipped."""
        return False

    def validate(self, engine: Engine) -> dict[str, float]:
        """Validation figures by name."""
        return {}

    def snapshot(self) -> Snapshot:
        """Tensors to save besides the engine's."""
        return {}

    def values(self) -> dict[str, Any]:
        """Other state to save, JSON-ready."""
        return {}

    def restore(self, tensors: TensorFiles, values: Mapping[str, Any]) -> None:  # noqa: B027 (optional)
        """Restore what `snapshot` and `values` returned."""
