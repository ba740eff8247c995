"""Statistics of each layer in one training step: how large its weights, gradients, moves and activations are.

Nothing is watched between the steps that are asked for. In those steps, gradients and moves are read by hooks of the
optimizer, right before and after it steps, and activations by hooks of the blocks; so the engine need not know.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from groundup.errors import GroundupError
from groundup.parallel.engine import Engine

_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)(?:\.|$)")
Sums = dict[str, dict[str, float]]  # layer -> name of a sum -> its value


class LayerWatch:
    """Watches the layers of an engine's model for single steps."""

    def __init__(self, engine: Engine) -> None:
        """Raises GroundupError where the engine has no optimizer of PyTorch's to look into."""
        if not isinstance(getattr(engine, "optimizer", None), torch.optim.Optimizer):
            raise GroundupError(
                "the engine keeps gradients and moves to itself",
                where="telemetry.layers",
                do="leave it out, or choose parallel.engine: torch",
            )
        self.engine = engine
        self._sums: Sums = {}
        self._before: dict[str, Tensor] = {}

    @contextmanager
    def step(self) -> Iterator[None]:
        """Within it: a training step, which `rows` then describes."""
        self._sums, optimizer = {}, self.engine.optimizer
        handles: list[Any] = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        for name, module in self.engine.model.named_modules():
            if (layer := layer_of(name)) and name.endswith(f"layers.{layer}"):
                handles.append(module.register_forward_hook(self._activation_hook(layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._before = {}

    def rows(self) -> list[dict[str, Any]]:
        """A row for each layer; none where the optimizer took no step.

        Returns:
            `layer`, `gradient_norm` (as the optimizer got it, after clipping to `clip_norm`),
            `weight_norm` before the step, `update_ratio` (the norm of what was added to the weights over that of the
            weights) and, for blocks, `activation_rms` (of the residual stream after the block).
        """
        rows = []
        for layer, sums in _of_all_processes(self._sums).items():
            if "weight" not in sums:
                continue
            weight = sums["weight"] ** 0.5
            row: dict[str, Any] = {"layer": int(layer) if layer.isdecimal() else layer}
            row["gradient_norm"], row["weight_norm"] = sums["gradient"] ** 0.5, weight
            row["update_ratio"] = sums["update"] ** 0.5 / weight if weight else None
            if sums.get("elements"):
                row["activation_rms"] = (sums["squares"] / sums["elements"]) ** 0.5
            rows.append(row)
        return rows

    def _before_step(self, *_: Any) -> None:
        for sums in self._sums.values():  # of several optimizer steps within one, the last counts
            for name in ("gradient", "weight", "update"):
                sums.pop(name, None)
        for layer, _name, parameter in self._parameters():
            sums = self._sums.setdefault(layer, {})
            gradient = 0.0 if parameter.grad is None else _square(parameter.grad)
            sums["gradient"] = sums.get("gradient", 0.0) + gradient
            sums["weight"] = sums.get("weight", 0.0) + _square(parameter)
        self._before = {name: parameter.detach().clone() for _, name, parameter in self._parameters()}

    def _after_step(self, *_: Any) -> None:
        for layer, name, parameter in self._parameters():
            sums = self._sums[layer]
            sums["update"] = sums.get("update", 0.0) + _square(parameter.detach() - self._before.pop(name))

    def _parameters(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        for name, parameter in self.engine.model.named_parameters():
            if parameter.requires_grad:
                yield layer_of(name) or name.rpartition(".")[0] or name, name, parameter

    def _activation_hook(self, layer: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not torch.is_grad_enabled():  # it samples or validates
                return
            x = (output[0] if isinstance(output, tuple) else output).detach()
            x = x.to_local() if isinstance(x, DTensor) else x
            sums = self._sums.setdefault(layer, {})
            sums["squares"] = sums.get("squares", 0.0) + float(x.float().square().sum())
            sums["elements"] = sums.get("elements", 0.0) + x.numel()

        return hook


def layer_of(name: str) -> str | None:
    """`model.layers.3.mlp.up_proj.weight` -> `3`; None outside the layers."""
    found = _LAYER.search(name)
    return found[1] if found else None


@torch.no_grad()
def _square(tensor: Tensor) -> float:
    """The square of a tensor's norm, of all of it where it is sharded."""
    norm = torch.linalg.vector_norm(tensor, dtype=torch.float32)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm) ** 2


def _of_all_processes(own: Sums) -> Sums:
    """Weights, gradients and updates are whole in each process that has the layer; activations are its part."""
    if not (dist.is_initialized() and dist.get_world_size() > 1):
        return own
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, own)
    merged: Sums = {}
    for sums_of in gathered:
        for layer, sums in sums_of.items():
            into = merged.setdefault(layer, {})
            for name, value in sums.items():
                added = name in ("squares", "elements") and name in into
                into[name] = into[name] + value if added else value
    return merged
