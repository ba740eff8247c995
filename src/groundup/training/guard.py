"""Skips steps that would do harm: spikes of the loss or of the gradient's norm."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean, pstdev

from groundup.errors import GroundupError
from groundup.training.configuration import GuardConfig

WINDOW = 128  # steps that a new one is compared with
SIGMAS = 6.0  # as OLMo-core's SkipStepOptimizer


class SpikeGuard:
    """Decides whether a step's loss and gradient norm are like those of the last `WINDOW` steps that were taken.

    Nothing is a spike before the window is full. Its state is two lists of numbers, so that a resumed run decides as
    the uninterrupted one does.
    """

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.skipped = 0  # in a row
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._norms: deque[float] = deque(maxlen=WINDOW)

    def accept(self, loss: float, norm: float) -> bool:
        """Whether the step may be taken.

        Raises:
            GroundupError: more steps in a row would be skipped than are allowed.
        """
        if self.config.skip_spikes and (_is_spike(loss, self._losses) or _is_spike(norm, self._norms)):
            self.skipped += 1
            if self.skipped > self.config.max_skips:
                raise GroundupError(
                    f"{self.skipped} steps in a row are spikes (loss {loss:.4g}, gradient norm {norm:.4g}, usually "
                    f"{fmean(self._losses):.4g} and {fmean(self._norms):.4g})",
                    do="lower learning_rate, or look at the documents of these steps; the last checkpoint is kept",
                )
            return False
        self.skipped = 0
        self._losses.append(loss)
        self._norms.append(norm)
        return True

    def state(self) -> dict[str, int | list[float]]:
        """JSON-ready."""
        return {"skipped": self.skipped, "losses": list(self._losses), "norms": list(self._norms)}

    def restore(self, state: dict[str, int | list[float]]) -> None:
        """Restore what `state` returned."""
        skipped, losses, norms = state["skipped"], state["losses"], state["norms"]
        assert isinstance(skipped, int) and isinstance(losses, list) and isinstance(norms, list)
        self.skipped = skipped
        self._losses, self._norms = deque(losses, maxlen=WINDOW), deque(norms, maxlen=WINDOW)


def _is_spike(value: float, window: Sequence[float]) -> bool:
    if len(window) < WINDOW:
        return False
    mean = fmean(window)
    return value > mean + SIGMAS * max(pstdev(window, mean), math.ulp(mean))
