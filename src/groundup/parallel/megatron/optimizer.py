"""Megatron's optimizers, fed with our groups: AdamW over whole tensors, or over shards (the distributed optimizer).

Megatron keeps gradients in buffers and, in the distributed optimizer, cuts those buffers into equal shards without
regard to where a tensor ends; so a process has the state of some flat ranges of some tensors (ZeRO stage 1).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer import OptimizerConfig as MegatronOptimizerConfig
from megatron.core.optimizer import ParamKey, get_megatron_optimizer
from megatron.core.optimizer.optimizer_config import ParamPredicate, ParamWithNamePredicate
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.parallel.megatron import shim
from groundup.training.configuration import OptimizerConfig

ADAM_STATE = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """Clips, steps, and returns its state in the shapes of the weights."""

    def __init__(
        self, chunks: Sequence[DistributedDataParallel], config: OptimizerConfig, sharded: bool, matrix_scale: float
    ) -> None:
        """
        Args:
            sharded: by the distributed optimizer, over all data-parallel processes.
            matrix_scale: what the learning rate of matrices inside the layers is multiplied by (muP).

        Raises:
            GroundupError: another optimizer than AdamW is asked for.
        """
        if config.name != "adamw":
            raise GroundupError(
                f"the Megatron engine trains by adamw, not {config.name}",
                where="optimizer.name",
                do="set it to adamw, or parallel.engine to torch",
            )
        self.sharded = sharded
        settings = MegatronOptimizerConfig(
            optimizer="adam",
            lr=0.0,
            min_lr=0.0,
            weight_decay=config.weight_decay,
            adam_beta1=config.betas[0],
            adam_beta2=config.betas[1],
            adam_eps=config.eps,
            use_distributed_optimizer=sharded,
        )
        vector = ParamPredicate(name="vector", fn=lambda parameter: parameter.dim() < 2)
        hidden = ParamWithNamePredicate(
            name="hidden", fn=lambda parameter, name: parameter.dim() > 1 and ".layers." in name
        )
        overrides: dict[ParamKey, Any] = {ParamKey(predicate=vector): {"wd_mult": 0.0}}
        if matrix_scale != 1.0:
            overrides[ParamKey(with_name_predicate=hidden)] = {"scale": matrix_scale}
        with _type_names():
            self.megatron = get_megatron_optimizer(settings, list(chunks), config_overrides=overrides)
        [self.part] = self.megatron.chained_optimizers  # no experts, hence one
        self.torch: torch.optim.Optimizer = self.part.optimizer
        for group in self.torch.param_groups:
            group["weight_decay"] = config.weight_decay * group["wd_mult"]

    def norm(self) -> float:
        """Of the gradient over all processes, each parameter counted once."""
        self.megatron.prepare_grads()
        return float(self.megatron.get_grad_norm())

    def step(self, learning_rate: float, clip_norm: float, norm: float) -> None:
        """Cut the gradient, whose norm is `norm`, to `clip_norm`; step; bring the weights back together."""
        factor = clip_norm / (norm + 1e-6)  # as torch.nn.utils.clip_grad_norm_
        if factor < 1:
            torch._foreach_mul_([parameter.grad for parameter in self.part.get_parameters()], factor)
        for group in self.torch.param_groups:
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self.megatron.step_with_ready_grads()

    def adam_state(self, parameters: Mapping[str, nn.Parameter]) -> dict[str, dict[str, Tensor]]:
        """Moment to name to tensor of the weight's shape, in every data-parallel process. Collective.

        Args:
            parameters: this process's, by any names; the same names come back.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for key in ADAM_STATE:
            found[key] = {name: self._value(parameter, key) for name, parameter in parameters.items()}
        return found

    def set_adam_state(
        self, parameters: Mapping[str, nn.Parameter], state: Mapping[str, Mapping[str, Tensor]], steps: float
    ) -> None:
        """Restore what `adam_state` returned after `steps` steps."""
        for name, parameter in parameters.items():
            main, part = self._mains.get(parameter, (None, slice(0)))
            if main is None:
                continue  # another process has it
            own = {key: state[key][name].to(main.device).flatten()[part] for key in ADAM_STATE}
            self.torch.state[main] = {key: value.view_as(main).clone() for key, value in own.items()}
            if self._counts_by_tensor:
                self.torch.state[main]["step"] = torch.tensor(float(steps))
        if not self._counts_by_tensor:
            for group in self.torch.param_groups:
                group["step"] = int(steps)

    def clear_state(self) -> None:
        """As before the first step."""
        self.torch.state.clear()
        for group in self.torch.param_groups:
            group.pop("step", None)

    @property
    def steps(self) -> float:
        """Taken so far; 0 in a process that holds no part of any tensor."""
        counters = self.torch.state.values() if self._counts_by_tensor else self.torch.param_groups
        return max((float(counter["step"]) for counter in counters if "step" in counter), default=0.0)

    @property
    def _counts_by_tensor(self) -> bool:
        """PyTorch's AdamW does; those of Apex and Transformer Engine, which Megatron prefers, count by group."""
        return isinstance(self.torch, torch.optim.AdamW)

    def _value(self, parameter: nn.Parameter, key: str) -> Tensor:
        main, part = self._mains.get(parameter, (None, slice(0)))
        if not self.sharded:
            assert main is not None
            whole: Tensor = self.torch.state[main][key]
            return whole
        flat = torch.zeros(parameter.numel(), dtype=torch.float32, device=parameter.device)
        if main is not None:
            flat[part] = self.torch.state[main][key]
        dist.all_reduce(flat, group=self.part.data_parallel_group)  # the others' parts are 0
        return flat.view_as(parameter)

    @cached_property
    def _mains(self) -> dict[nn.Parameter, tuple[Tensor, slice]]:
        """What PyTorch's optimizer holds for a parameter, and which range of the parameter that is."""
        if not self.sharded:
            return {parameter: (parameter, slice(None)) for parameter in self.part.get_parameters()}
        found = {}
        for parameters, shards in zip(self.part.model_fp32_groups, self.part.shard_fp32_groups, strict=True):
            for parameter, shard in zip(parameters, shards, strict=True):
                owned = self.part._get_model_param_range_map(parameter)["param"]
                found[parameter] = (shard, slice(owned.start, owned.end))
        return found


def _type_names() -> AbstractContextManager[None]:
    """Megatron compares the names of tensors' types with CUDA's."""
    return nullcontext() if torch.cuda.is_available() else shim.cuda_type_names()
