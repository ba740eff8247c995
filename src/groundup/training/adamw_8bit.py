"""AdamW whose two averages are kept in 8 bits, a quarter of their memory (arXiv 2110.02861).

Every 256 numbers of an average share a scale, the largest of them; each is kept as the nearest of 255 levels between -1
and 1, which lie the closer the smaller they are, over seven decades. Three things differ from the paper:

- the levels of squares are squares of such levels, over fourteen decades: they reach as far as those of means do
- squares have no level at 0: an average that is small in its block is taken for a little more than it is, and never
  divides by eps alone (arXiv 2309.01507 names that as what makes training with few bits diverge)
- the levels have both -1 and 1, so that a block which is read and kept again has the same bytes; checkpoints hold
  float32, can be read under any layout, and a resumed run is the uninterrupted one bit for bit

The update uses the averages before they are rounded. Vectors and small matrices keep theirs in float32.

Suffix: B blocks, of 256 numbers each.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from groundup.training.one_by_one import OneByOne, local

BLOCK = 256
LEAST = 4096  # numbers of a parameter that are kept in 8 bits; bitsandbytes has the same
TOGETHER = 1 << 14  # blocks that are in float32 at a time: 16 MB for each average
SMALLEST_SCALE = 1e-22  # below, the smallest level times it loses bits
AVERAGES = ("exp_avg", "exp_avg_sq")


class AdamW8bit(OneByOne):
    """Each group has `params` and `weight_decay`."""

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float] = (0.9, 0.95), eps: float = 1e-8
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "betas": betas, "eps": eps, "weight_decay": 0.0})

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, weight, gradient = self.state[parameter], local(parameter).view(-1), local(parameter.grad).reshape(-1)
        if not state:
            state["step"] = torch.tensor(0.0)
            for name in AVERAGES:
                self._keep(parameter, name, torch.zeros_like(weight, dtype=torch.float32))
        state["step"] += 1
        (beta1, beta2), step, lr = group["betas"], state["step"].item(), group["lr"]
        weight.mul_(1 - lr * group["weight_decay"])
        for first in range(0, -(-weight.numel() // BLOCK), TOGETHER):
            blocks, numbers = slice(first, first + TOGETHER), slice(first * BLOCK, (first + TOGETHER) * BLOCK)
            gradient_B = _blocks(gradient[numbers].float())
            mean_B = self._read(parameter, "exp_avg", blocks).lerp_(gradient_B, 1 - beta1)
            square_B = self._read(parameter, "exp_avg_sq", blocks).mul_(beta2)
            square_B.addcmul_(gradient_B, gradient_B, value=1 - beta2)
            self._write(parameter, "exp_avg", blocks, mean_B)
            self._write(parameter, "exp_avg_sq", blocks, square_B)
            divisor_B = square_B.sqrt_().mul_((1 - beta2**step) ** -0.5).add_(group["eps"])
            moved = weight[numbers]
            moved.sub_(mean_B.div_(divisor_B).view(-1)[: moved.numel()], alpha=lr / (1 - beta1**step))

    def unpacked(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter as AdamW has it, averages in float32; of a DTensor, DTensors that lie as it does."""
        state, part = self.state.get(parameter, {}), local(parameter)
        if not state:
            return {}
        found = {"step": state["step"]}
        for name in AVERAGES:
            values_B = self._read(parameter, name, slice(None))
            values = values_B.reshape(-1)[: part.numel()].view(part.shape)
            if isinstance(parameter, DTensor):
                values = DTensor.from_local(
                    values,
                    parameter.device_mesh,
                    parameter.placements,
                    run_check=False,
                    shape=parameter.shape,
                    stride=parameter.stride(),
                )
            found[name] = values
        return found

    def pack(self, parameter: Tensor, state: Mapping[str, Tensor]) -> None:
        """Keep what `unpacked` gave, maybe of another run."""
        self.state[parameter]["step"] = state["step"]
        for name in AVERAGES:
            self._keep(parameter, name, local(state[name]).reshape(-1))

    def _keep(self, parameter: Tensor, name: str, values: Tensor) -> None:
        state, count = self.state[parameter], -(-values.numel() // BLOCK)
        if values.numel() < LEAST:
            state[name] = _blocks(values).clone()
            return
        state[f"{name}_codes"] = torch.empty(count, BLOCK, dtype=torch.uint8, device=values.device)
        state[f"{name}_scales"] = torch.empty(count, 1, device=values.device)
        for first in range(0, count, TOGETHER):
            numbers = slice(first * BLOCK, (first + TOGETHER) * BLOCK)
            self._write(parameter, name, slice(first, first + TOGETHER), _blocks(values[numbers]))

    def _read(self, parameter: Tensor, name: str, blocks: slice) -> Tensor:
        state = self.state[parameter]
        if name in state:
            return state[name][blocks].clone()
        codes_B, scales_B = state[f"{name}_codes"][blocks], state[f"{name}_scales"][blocks]
        levels, _ = _levels(name, codes_B.device)
        return levels[codes_B.int()].mul_(scales_B)

    def _write(self, parameter: Tensor, name: str, blocks: slice, values_B: Tensor) -> None:
        state = self.state[parameter]
        if name in state:
            state[name][blocks] = values_B
            return
        scales_B = values_B.abs().amax(1, keepdim=True)
        scales_B = torch.where(scales_B < SMALLEST_SCALE, 0.0, scales_B)
        _, borders = _levels(name, values_B.device)
        relative_B = values_B / torch.where(scales_B == 0, 1.0, scales_B)
        state[f"{name}_codes"][blocks] = torch.bucketize(relative_B, borders, out_int32=True).to(torch.uint8)
        state[f"{name}_scales"][blocks] = scales_B


def _blocks(values: Tensor) -> Tensor:
    """[blocks, 256], the last filled up with 0."""
    return F.pad(values, (0, -values.numel() % BLOCK)).view(-(-values.numel() // BLOCK), BLOCK)


@cache
def _levels(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """(levels, the borders between neighbours) of an average: section 2.2 of the paper, `dynamic tree quantization`.

    In each decade the middles of equal parts: 1, 2, 4 ... 64 of them for a mean, twice as many for a square's root.
    """
    positive = []
    for decade in range(7):
        parts = (1 if name == "exp_avg" else 2) << decade
        width = 0.9 / parts
        positive += [10.0 ** (decade - 6) * (0.1 + width * (part + 0.5)) for part in range(parts)]
    positive[-1] = 1.0
    signed = [-level for level in reversed(positive)] + [0.0] if name == "exp_avg" else []
    levels = torch.tensor(signed + positive, dtype=torch.float64)
    levels = levels if name == "exp_avg" else levels.square()
    return levels.float().to(device), ((levels[1:] + levels[:-1]) / 2).float().to(device)
