"""Batches of examples that are about equally long, so that little is padded.

Examples are drawn in a random order. Those of a window of steps are sorted by length and cut into batches, which come
in random order: a step's batch is a function of the step. A window ends with its epoch, so that an epoch has each
example once; it is at most a quarter of an epoch, so that the next epoch's batches are other ones.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from groundup.shards.order import Permutation

T = TypeVar("T")

WINDOW = 8  # steps, in long epochs


class SortedDraws(Generic[T]):
    """The examples of each step."""

    def __init__(
        self, drawn: Callable[[int, int], Sequence[T]], length: Callable[[T], int], *, batch: int, epoch: int, seed: int
    ) -> None:
        """
        Args:
            drawn: `drawn(first, count)`: the examples of so many draws, counted over all epochs.
            batch: examples of a step.
            epoch: examples there are.
        """
        self.drawn, self.length, self.batch, self.seed = drawn, length, batch, seed
        self.steps = max(1, -(-epoch // batch))  # of an epoch
        self.window = max(1, min(WINDOW, self.steps // 4))
        self._first = -1  # step of the window that is at hand
        self._batches: list[list[T]] = []

    def at(self, step: int) -> list[T]:
        epoch, within = divmod(step, self.steps)
        start = within - within % self.window
        first = epoch * self.steps + start
        if first != self._first:
            steps = min(self.window, self.steps - start)
            examples = sorted(self.drawn(first * self.batch, steps * self.batch), key=self.length)
            order = Permutation(steps, self.seed, first // self.window)
            pieces = [examples[index * self.batch : (index + 1) * self.batch] for index in range(steps)]
            self._batches, self._first = [pieces[int(order(index))] for index in range(steps)], first
        return self._batches[step - first]
