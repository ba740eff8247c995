"""Matmuls of float32 on CPUs, by oneDNN where PyTorch's default library is slower.

PyTorch leaves matmuls of bfloat16 to oneDNN and those of float32 to MKL, whose AVX-512 code is for Intel's processors
alone. On others it falls back to half as wide instructions: 205 GFLOP/s on two cores of an EPYC, where oneDNN makes 450
of the same numbers (docs/experiments.md). PyTorch has an operator for it, meant for its compiler; here it gets a
backward pass.

What decides is the processor and the shapes, never a trial: what is computed must not depend on how busy a machine is.

Suffixes: M, K, N rows and columns, `_KN` = K x N.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from groundup.machine import other_than_intel

PLAIN = (Tensor, nn.Parameter)  # neither spread over processes nor quantised
MIN_ONEDNN = 1 << 20  # multiplications; for fewer, calling oneDNN (10 microseconds) takes longer than it saves
OPERATORS = (torch.ops.mkldnn._linear_pointwise.default,) if hasattr(torch.ops.mkldnn, "_linear_pointwise") else ()


ONEDNN_IS_FASTER = bool(OPERATORS) and torch.backends.cpu.get_cpu_capability() == "AVX512" and other_than_intel()


def matmul(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    """`a @ b`, in the precision of its operands; no gradients."""
    if _by_onednn(a_MK, b_KN) and a_MK.numel() * b_KN.shape[1] >= MIN_ONEDNN:
        return _onednn(a_MK, b_KN.mT)
    return a_MK @ b_KN


class Linear(nn.Linear):
    """PyTorch's linear module, with the matmul by the faster library."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., in]; returns [..., out]."""
        if _by_onednn(x, self.weight) and x.numel() * self.out_features >= MIN_ONEDNN:
            y: Tensor = _Linear.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
            return y
        if ONEDNN_IS_FASTER and type(self.weight) not in PLAIN:
            return _spread(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)


def _spread(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    """The same with a matrix of which each process of a mesh dimension has some outputs, or some inputs.

    PyTorch knows for its own operators alone what processes have to exchange. So each multiplies what it has, and what
    comes out says how it lies: outputs cut as the matrix is, or sums over inputs that are still to be added up.
    """
    from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard  # takes long, for a chat

    if not (isinstance(x, DTensor) and isinstance(weight_NK, DTensor)):
        return F.linear(x, weight_NK, bias_N)
    last = x.dim() - 1
    by_outputs = weight_NK.placements == (Shard(0),)
    by_inputs = weight_NK.placements == (Shard(1),) and bias_N is None  # which would be added once in each process
    needed: Placement = Replicate() if by_outputs else Shard(last)
    if not (by_outputs or by_inputs) or x.placements != (needed,):
        return F.linear(x, weight_NK, bias_N)
    part_x, part = x.to_local(grad_placements=[Partial() if by_outputs else needed]), weight_NK.to_local()
    bias = bias_N.to_local() if isinstance(bias_N, DTensor) else bias_N
    if not _pays(part_x, part) or part_x.numel() * len(part) < MIN_ONEDNN:
        return F.linear(x, weight_NK, bias_N)
    y: Tensor = _Linear.apply(part_x, part, bias)  # type: ignore[no-untyped-call]
    return DTensor.from_local(y, x.device_mesh, [Shard(last) if by_outputs else Partial()], run_check=False)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight_NK)
        return _onednn(x, weight_NK, bias_N)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight_NK = ctx.saved_tensors
        x_wanted, weight_wanted, bias_wanted = ctx.needs_input_grad
        dy_MN = dy.flatten(0, -2)
        return (
            _onednn(dy, weight_NK.mT) if x_wanted else None,
            _onednn(dy_MN.mT, x.flatten(0, -2).mT) if weight_wanted else None,
            dy_MN.sum(0) if bias_wanted else None,
        )


def _onednn(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """[..., N]: x times the weight's transpose, plus the bias; strides as they come."""
    if torch.compiler.is_compiling():
        return _opaque(x, weight_NK, bias_N)
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_NK, bias_N, "none", [], "")
    return y


@torch.library.custom_op("groundup::onednn_linear", mutates_args=())
def _opaque(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    """The same for PyTorch's compiler, whose own rules for the operator want weights that never change."""
    return _onednn(x, weight_NK, bias_N)


@_opaque.register_fake
def _shape(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight_NK))


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether these are plain tensors for which it pays."""
    return type(x) in PLAIN and type(weight) in PLAIN and _pays(x, weight)


def _pays(x: Tensor, weight: Tensor) -> bool:
    """Whether these are matrices of float32 in this process's memory, on a processor where it pays."""
    return (
        ONEDNN_IS_FASTER
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )
