"""Matmuls of the layers in float8, by torchao (Micikevicius et al., "FP8 formats for deep learning", arXiv
2209.05433), on GPUs that multiply it.

Each matmul's two factors are divided by their largest number and rounded, weights and activations to e4m3 (3 bits of
mantissa), gradients to e5m2 (two bits, a wider range); its result is bf16 again. Weights, optimizer state, attention's
scores, norms, the embedding, the head, and a mixture's routers and experts are as under bf16.

The linear modules of the layers give way to torchao's, under their own names and with their own weights, so that
saving, sharding and checkpoints see no difference. It pays together with `pretrain.compile`, which fuses the rounding.

Where this was written there was no such GPU. What is tested is torchao's emulation: the same rounding, with matmuls in
float32, on a CPU. Neither the kernels nor the speed have been tried.
"""

import logging
from importlib.util import find_spec

import torch
from torch import nn

from groundup.errors import GroundupError
from groundup.model.experts import SparseMLP
from groundup.parallel.device import Precision

MIN_CAPABILITY = (8, 9)  # of CUDA: Ada Lovelace; Hopper is 9.0
MULTIPLE = 16  # of which the kernels want the widths, and the tokens of a micro-batch
WHERE = "pretrain.fp8"


def convert(
    layers: nn.Module,
    device: torch.device,
    precision: Precision,
    *,
    _emulate: bool = False,
) -> None:
    """Let the linear modules of `layers` compute in float8; to be called before anything else that changes them.

    Args:
        _emulate: for tests, on any device: round to float8, multiply in float32.

    Raises:
        GroundupError: the precision, the device or a width doesn't go with it, or torchao is
            not installed.
    """
    if precision != "bf16":
        raise GroundupError(
            f"what is not float8 is bf16, and the precision is {precision}",
            where=WHERE,
            do="set pretrain.precision to bf16, or remove fp8",
        )
    linear = _linear(layers)
    if find_spec("torchao") is None:
        raise GroundupError("torchao is not installed", where=WHERE, do="pip install 'groundup[float8]'")
    if not _emulate:
        _check_device(device)
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it warns of kernels that it can't load and that aren't used
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    convert_to_float8_training(
        layers, module_filter_fn=lambda module, _: id(module) in linear, config=Float8LinearConfig(emulate=_emulate)
    )


def _linear(layers: nn.Module) -> set[int]:
    """The identities of the modules to convert: a router's matmul is too small for it, and needs its full precision."""
    routers = {id(module.gate) for module in layers.modules() if isinstance(module, SparseMLP)}
    linear = {name: module for name, module in layers.named_modules() if isinstance(module, nn.Linear)}
    linear = {name: module for name, module in linear.items() if id(module) not in routers}
    for name, module in linear.items():
        if module.in_features % MULTIPLE or module.out_features % MULTIPLE:
            raise GroundupError(
                f"float8 wants widths of multiples of {MULTIPLE}, and layers.{name} is "
                f"{module.in_features} by {module.out_features}",
                where=WHERE,
                do="change pretrain.model, or remove it",
            )
    return {id(module) for module in linear.values()}


def _check_device(device: torch.device) -> None:
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    if capability is None or capability < MIN_CAPABILITY:
        there = f"CUDA capability {capability[0]}.{capability[1]}" if capability else f"the device {device.type}"
        raise GroundupError(
            f"float8 needs a GPU of CUDA capability 8.9 or above (Ada, Hopper), and this is {there}",
            where=WHERE,
            do="remove it",
        )
