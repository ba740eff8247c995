"""Loss scaling, without which float16 loses what is small of a gradient (Micikevicius et al., arXiv 1710.03740, 3.2).

Of float16 the least number is 6e-8 and the largest 65,504. So the loss is multiplied by a scale before the backward
pass and the gradient divided by it after; the scale is a power of two, hence neither rounds. The largest scale that
does not overflow is found by trying, as torch.amp.GradScaler does:

    2,000 finite gradients in a row      the scale doubles
    a gradient that is not finite        the scale halves, and the step is skipped

Nothing is scaled any more at a scale of 1: what overflows there has diverged, as in every other precision. DeepSpeed
and Megatron-LM end at 1 too (`min_loss_scale`). From the start that is 16 skipped steps in a row.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

START, LEAST = 65536.0, 1.0
FINITE_STEPS = 2_000  # in a row, before a larger scale is tried


class LossScaler:
    """The scale and how it changes. It sees global gradients, so it is the same in every process."""

    def __init__(self) -> None:
        self.scale = START
        self.good_steps = 0  # since it last changed

    def finite(self) -> None:
        """The gradient under this scale was finite."""
        self.good_steps += 1
        if self.good_steps == FINITE_STEPS:
            self.scale, self.good_steps = self.scale * 2, 0

    def overflowed(self) -> bool:
        """The loss or its gradient was not finite; whether a smaller scale is left to try."""
        if self.scale <= LEAST:
            return False
        self.scale, self.good_steps = self.scale / 2, 0
        return True

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds: `scaler.scale` (float64) and `scaler.good_steps` (int64)."""
        return {
            "scaler.scale": torch.tensor(self.scale, dtype=torch.float64),
            "scaler.good_steps": torch.tensor(self.good_steps),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        self.scale, self.good_steps = float(tensors["scaler.scale"]), int(tensors["scaler.good_steps"])
