"""Compilation of a model's blocks by torch.compile: one pass over memory for the many operations between matmuls.

It is applied from outside, and only to the forward and backward pass of training: validation and generation, whose
shapes change, stay as they are. All blocks of a shape share one compilation.
"""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError

SINCE = "2.13"  # PyTorch's: with 2.11 the gradients of compiled blocks are wrong, and no error is raised
TRIALS = 5  # passes that are timed, of which the fastest counts


def compile_blocks(blocks: Iterable[nn.Module], budget: float = 1.0) -> None:
    """Compile what each block does in training, at its first use.

    Args:
        budget: the fraction of the activations' memory that may be kept; what is cheapest to recompute for its size is
            dropped (a knapsack, solved by PyTorch). It applies to the whole process.

    Raises:
        GroundupError: PyTorch is too old, or finds no C++ compiler.
    """
    check_compiler()
    torch._functorch.config.activation_memory_budget = budget
    for block in blocks:
        block.forward = _compiled_in_training(block.forward)


def check_compiler() -> None:
    """Raises GroundupError where PyTorch is too old, or would find no C++ compiler."""
    if torch.__version__ < SINCE:
        raise GroundupError(
            f"compiled layers need PyTorch {SINCE}, this is {torch.__version__}",
            where="pretrain.compile",
            do="remove it",
        )
    from torch._inductor.cpp_builder import get_cpp_compiler  # most of a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise GroundupError(
            "there is no C++ compiler, which PyTorch needs to compile",
            where="pretrain.compile",
            do="install g++ or clang++ (the environment variable CXX can name it), or remove compile",
        ) from error


def gain(block: nn.Module, arguments: Sequence[Any]) -> float:
    """How much faster a block's forward and backward pass is when compiled: seconds before / seconds after.

    Takes as long as compiling does; PyTorch caches the result on disk, where the training that follows finds it.

    Args:
        block: it is copied, not changed.
        arguments: those of its forward pass; the first is the residual stream.

    Raises:
        GroundupError: PyTorch is too old, or finds no C++ compiler.
    """
    plain, compiled = copy.deepcopy(block), copy.deepcopy(block)
    compile_blocks([compiled])
    before, after = (_seconds(each, arguments) for each in (plain, compiled))
    return before / after


def _seconds(block: nn.Module, arguments: Sequence[Any]) -> float:
    seconds = []
    for _ in range(1 + TRIALS):
        stream = arguments[0].detach().requires_grad_()
        started = time.perf_counter()
        out: Tensor = block(stream, *arguments[1:])[0]
        out.backward(torch.ones_like(out))  # type: ignore[no-untyped-call]
        if out.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])  # the first compiles


def _compiled_in_training(forward: Callable[..., Any]) -> Callable[..., Any]:
    compiled = torch.compile(forward, dynamic=False)

    def compiled_in_training(*arguments: Any) -> Any:
        return compiled(*arguments) if torch.is_grad_enabled() else forward(*arguments)

    return compiled_in_training
