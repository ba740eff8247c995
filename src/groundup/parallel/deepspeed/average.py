"""The moving average of the weights where ZeRO has spread them: each process averages the pieces that it holds."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from groundup.parallel.average import WeightAverage
from groundup.parallel.deepspeed.masters import Masters


class MasterAverage(WeightAverage):
    """`WeightAverage` of the float32 masters, in pieces."""

    def __init__(self, masters: Masters, decay: float) -> None:
        self.decay, self.steps, self._masters = decay, 0, masters
        self._pieces = [piece.detach().clone() for piece in masters.pieces]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._pieces, self._masters.pieces, 1 - decay)

    def swap(self) -> None:
        self._exchange()
        self._masters.publish()

    def whole_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """`steps` and `weight.NAME`, each gathered as it is asked for: all processes ask for all."""
        yield "steps", torch.tensor(self.steps)
        with self._in_masters():
            for name in self._masters.trained:
                yield f"weight.{name}", self._masters.weight(name)

    def restore_from(self, whole: Callable[[str], Tensor]) -> None:
        """Restore what `whole_tensors` yielded, looked up by name."""
        self.steps = int(whole("steps"))
        with self._in_masters():
            for name in self._masters.trained:
                self._masters.set_weight(name, whole(f"weight.{name}"))

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.cpu() for name, tensor in self.whole_tensors()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.restore_from(tensors.__getitem__)

    @contextmanager
    def _in_masters(self) -> Iterator[None]:
        """Within it averages are where the masters were, unseen by the model."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for piece, average in zip(self._masters.pieces, self._pieces, strict=True):
            held = piece.clone()
            piece.copy_(average)
            average.copy_(held)
