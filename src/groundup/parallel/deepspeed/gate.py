"""Whether a step is taken. ZeRO learns the gradient's norm in the midst of its own step, so it is asked there."""

import math
from typing import Any

import torch
from torch import Tensor

from groundup.parallel.engine import Accept


class StepGate:
    """Sits before AdamW: where a step is refused, AdamW finds no gradients, and nothing moves."""

    def __init__(self, zero: Any) -> None:
        """`zero`: DeepSpeed's optimizer, around the one that is watched."""
        self._zero = zero
        self._held: list[tuple[Tensor, Tensor | None]] = []
        self._taken: bool | None = None
        zero.optimizer.register_step_pre_hook(self._before)
        zero.optimizer.register_step_post_hook(self._after)

    def begin(self, mean: float, accept: Accept | None) -> None:
        """A step with this mean loss is about to be taken."""
        self._mean, self._accept = mean, accept
        self.norm, self._taken = math.inf, None

    @property
    def finite(self) -> bool:
        """Whether the loss and the gradient of the step are."""
        return math.isfinite(self._mean) and math.isfinite(self.norm)

    @property
    def taken(self) -> bool:
        """Whether the weights took the step; DeepSpeed itself leaves it out where the norm is not finite."""
        return bool(self._taken)

    def _decide(self) -> bool:
        """Once per step, though ZeRO calls AdamW once for each group."""
        if self._taken is None:
            norm = float(self._zero._global_grad_norm)
            self.norm = norm if norm >= 0 else math.inf  # -1 means infinite or not a number
            self._taken = self.finite and (self._accept is None or self._accept(self._mean, self.norm))
        return self._taken

    def _before(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self._decide():
            return
        for group in optimizer.param_groups:
            for piece in group["params"]:
                self._held.append((piece, piece.grad))
                piece.grad = None

    def _after(self, *_: Any) -> None:
        for piece, gradient in self._held:
            piece.grad = gradient
        self._held = []
