"""Megatron-core on machines without CUDA. It asks for CUDA devices throughout; here those requests are answered with
the CPU, while its own source stays as it is. Loaded only where there is no CUDA, before Megatron-core is imported.

Written for Megatron-core 0.16.1. What it touches:

- tensors made with `device="cuda"`, and `Tensor.cuda()`: made on the CPU
- `torch.cuda`'s current device, synchronisation, generators: the CPU's
- autocast in Megatron's own autograd functions: the CPU's
- the type names that Megatron compares with ("torch.cuda.FloatTensor"): only inside `cuda_type_names`
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial, wraps
from typing import Any

import torch
from torch import Tensor

FACTORIES = ("arange", "empty", "full", "ones", "rand", "randn", "tensor", "zeros")
CPU = torch.device("cpu")


@cache
def install() -> None:
    """Once per process; for good, since Megatron keeps what it imports."""
    assert not torch.cuda.is_available(), "there is CUDA: Megatron needs no help"
    for name in FACTORIES:
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    cuda: Any = torch.cuda
    cuda.current_device = lambda: CPU
    cuda.synchronize = lambda device=None: None
    cuda.manual_seed = torch.random.manual_seed
    cuda.get_rng_state = lambda device=None: torch.random.get_rng_state()
    cuda.set_rng_state = lambda state, device=None: torch.random.set_rng_state(state)
    cuda.nvtx.range_push = cuda.nvtx.range_pop = lambda *_: None
    tensor: Any = Tensor
    tensor.cuda = lambda self, *_, **__: self
    amp: Any = torch.amp
    amp.custom_fwd = _for_cpu(torch.amp.custom_fwd)
    amp.custom_bwd = _for_cpu(torch.amp.custom_bwd)
    _imported()


def _imported() -> None:
    """Import Megatron's random numbers and replace how it looks up a GPU's generator; nothing draws from it here."""
    from megatron.core.tensor_parallel import random

    random._get_cuda_rng_state = lambda *_, **__: torch.random.get_rng_state()
    random._set_cuda_rng_state = lambda state, *_, **__: torch.random.set_rng_state(state)


def _on_cpu(factory: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(factory)
    def made(*arguments: Any, **options: Any) -> Any:
        device = options.get("device")
        if device is not None and torch.device(device).type == "cuda":
            options["device"] = CPU
        return factory(*arguments, **options)

    return made


def _for_cpu(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """`custom_fwd` and `custom_bwd` with the CPU's autocast in place of CUDA's."""

    def decorate(function: Callable[..., Any] | None = None, *, device_type: str = "cuda", **options: Any) -> Any:
        if function is None:
            return partial(decorate, device_type=device_type, **options)
        return decorator(function, device_type="cpu" if device_type == "cuda" else device_type, **options)

    return decorate


@contextmanager
def cuda_type_names() -> Iterator[None]:
    """Within it a tensor calls itself "torch.cuda.FloatTensor", as Megatron's optimizer wants to hear."""
    tensor: Any = Tensor
    plain = tensor.type

    def named(self: Tensor, *arguments: Any, **options: Any) -> Any:
        answer = plain(self, *arguments, **options)
        return answer.replace("torch.", "torch.cuda.", 1) if isinstance(answer, str) else answer

    tensor.type = named
    try:
        yield
    finally:
        tensor.type = plain
