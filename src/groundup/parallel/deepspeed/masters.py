"""The float32 weights that AdamW updates, and its state, wherever ZeRO has put them.

ZeRO lays the parameters of a group end to end and gives each process an equal piece of the result, so a process may
hold the end of one matrix and the beginning of the next. Here they are whole tensors again, by the parameter's own
name. The weights that a model computes with are different ones: copies in bf16, or partitioned once more (stage 3).

DeepSpeed's `safe_get_full_...` reads them; what has no public name there (`update_lp_params`, `_hp_mapping`) is used in
this file alone.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groundup.errors import GroundupError

ADAM_STATE = ("exp_avg", "exp_avg_sq")


class Masters:
    """Weights and optimizer state of an initialised DeepSpeed engine. All methods are collective."""

    def __init__(self, deepspeed: Any, optimizer: Any, parameters: Mapping[str, nn.Parameter]) -> None:
        """`optimizer`: DeepSpeed's, around an AdamW; its state is made here, as zeros."""
        self._fragments = import_module("deepspeed.utils.tensor_fragment")
        self._frozen: dict[str, Tensor] = {}  # which ZeRO keeps no masters of
        self._deepspeed, self._zero, self._parameters = deepspeed, optimizer, parameters
        self.sharded = hasattr(optimizer, "fp32_partitioned_groups_flat")  # stage 3
        self.pieces: list[Tensor] = (
            optimizer.fp32_partitioned_groups_flat
            if self.sharded
            else [piece for group in optimizer.optimizer.param_groups for piece in group["params"]]
        )
        self._states = optimizer.optimizer.state
        for piece in self.pieces:
            self._states[piece] = {
                "step": torch.zeros((), device=piece.device),
                **{moment: torch.zeros_like(piece) for moment in ADAM_STATE},
            }
        if not self.sharded:  # it ties them to the parameters after its first step otherwise
            optimizer._lazy_init_hp_params_optimizer_state()

    @property
    def trained(self) -> Iterable[str]:
        """Names of the parameters that have a master."""
        return [name for name, parameter in self._parameters.items() if parameter.requires_grad]

    @property
    def steps(self) -> int:
        """Taken by AdamW so far."""
        return int(self._states[self.pieces[0]]["step"]) if self.pieces else 0

    @steps.setter
    def steps(self, steps: int) -> None:
        for piece in self.pieces:
            self._states[piece]["step"].fill_(steps)

    def weight(self, name: str) -> Tensor:
        """A whole weight in float32, a copy; a frozen one as it was set."""
        if name in self._frozen:
            return self._frozen[name].clone()
        whole: Tensor = self._fragments.safe_get_full_fp32_param(self._parameters[name])
        return whole

    def moment(self, name: str, moment: str) -> Tensor:
        """One of a trained parameter's ADAM_STATE, whole, a copy."""
        whole: Tensor = self._fragments.safe_get_full_optimizer_state(self._parameters[name], moment)
        return whole

    def set_weight(self, name: str, value: Tensor) -> None:
        """Set a whole weight; the model has it after `publish`. Frozen ones have to be set first of all."""
        parameter = self._parameters[name]
        _check_shape(name, value, self.shape(name))
        if not parameter.requires_grad:
            self._frozen[name] = value.float().cpu().clone()
            with self._deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                parameter.copy_(value)
        elif self.sharded:
            self._fragments.safe_set_local_fp32_param(parameter, _shard(value, parameter))
        else:
            self._fragments.safe_set_full_fp32_param(parameter, value)

    def set_moment(self, name: str, moment: str, value: Tensor) -> None:
        """Set a whole moment of a trained parameter."""
        _check_shape(name, value, self.shape(name))
        parameter = self._parameters[name]
        if self.sharded:
            self._fragments.safe_set_local_optimizer_state(parameter, _shard(value, parameter), moment)
        else:
            self._fragments.safe_set_full_optimizer_state(parameter, value, moment)

    def shape(self, name: str) -> torch.Size:
        """Of the whole tensor."""
        parameter = self._parameters[name]
        return torch.Size(getattr(parameter, "ds_shape", parameter.shape))

    @torch.no_grad()
    def publish(self) -> None:
        """Give the model the weights that the masters have, as DeepSpeed does after a step."""
        zero = self._zero
        if not self.sharded:
            zero.update_lp_params()
            return
        zero._partition_all_parameters()
        for index in range(len(self.pieces)):
            zero._reassign_or_swap_out_partitioned_parameters(index)
        zero._post_step(())


def _shard(whole: Tensor, parameter: Any) -> Tensor:
    """What this process holds of a parameter under stage 3: equal pieces of the flat tensor, the last filled up.

    DeepSpeed's own `safe_set_full_...` fails where they don't come out even.
    """
    size = parameter.partition_numel()
    piece = whole.new_zeros(size)
    held = whole.flatten()[dist.get_rank() * size :][:size]
    piece[: len(held)] = held
    return piece


def _check_shape(name: str, value: Tensor, shape: torch.Size) -> None:
    if value.shape != shape:
        raise GroundupError(
            f"tensor {name} is {list(value.shape)}, the model needs {list(shape)}", do="check which model it is of"
        )
