"""The processes of a job as writers and readers of its checkpoints: alongside training, agreed on every outcome."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from groundup.errors import GroundupError

T = TypeVar("T")


class Crew:
    """All processes of the job, or this one alone where there is no job.

    They talk over a gloo group of their own, so that a thread can write a checkpoint while training uses its groups.
    """

    def __init__(self) -> None:
        """Every process of the job makes one at the same point."""
        self.group: dist.ProcessGroup | None = None
        self.rank, self.size = 0, 1
        if dist.is_available() and dist.is_initialized():
            self.group = dist.new_group(backend="gloo")
            self.rank, self.size = dist.get_rank(), dist.get_world_size()

    @property
    def leader(self) -> bool:
        """Whether this process makes, renames and removes folders."""
        return self.rank == 0

    def together(self, step: Callable[[], T]) -> list[T]:
        """Run a step in every process; returns what it returned in each, by rank, once all have run it.

        Raises:
            BaseException: what the step raised here, or GroundupError with the message of the process in which it did.
        """
        if self.group is None:
            return [step()]
        failure: BaseException | None = None
        outcome: tuple[T | None, GroundupError | None] = (None, None)
        try:
            outcome = (step(), None)
        except BaseException as error:  # raised again below, once the others know of it
            failure = error
            known = error if isinstance(error, GroundupError) else GroundupError(f"{type(error).__name__}: {error}")
            outcome = (None, known)
        outcomes: list[Any] = [None] * self.size
        dist.all_gather_object(outcomes, outcome, group=self.group)
        if failure is not None:
            raise failure
        for _, known in outcomes:
            if known is not None:
                raise known
        return [value for value, _ in outcomes]
