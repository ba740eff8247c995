"""A matrix that is cut over processes multiplies as the whole one does, and by oneDNN."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import ranks
from groundup.model import linear
from groundup.model.linear import OPERATORS, Linear

pytestmark = pytest.mark.skipif(not OPERATORS, reason="this PyTorch has no oneDNN")

# (the first layer has a bias, the second has one, the sequence is cut between the blocks, matmuls by oneDNN)
CASES = {
    "plain": (False, False, False, 6),
    "biases": (True, False, False, 6),
    "a bias after the sum": (True, True, False, 3),
    "sequence parallelism": (False, False, True, 6),
}
ROWS, LENGTH, WIDTH, INNER = 2, 6, 48, 32


def made(first_bias: bool, second_bias: bool) -> tuple[nn.Sequential, Tensor, Tensor]:
    """(two layers, x, the output's gradient)."""
    generator = torch.Generator().manual_seed(3)
    layers = nn.Sequential(Linear(WIDTH, INNER, bias=first_bias), Linear(INNER, WIDTH, bias=second_bias))
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x, dy = (torch.randn(ROWS, LENGTH, WIDTH, generator=generator) for _ in range(2))
    return layers, x, dy


def results(layers: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Output, gradient of x, gradients of the parameters, whole."""
    x = x.clone().requires_grad_()
    y: Tensor = layers(x)
    y.backward(dy)
    found = [x.grad, *(parameter.grad for parameter in layers.parameters())]
    gradients = [gradient for gradient in found if gradient is not None]
    assert len(gradients) == len(found)
    wholes = [one.full_tensor() if hasattr(one, "full_tensor") else one for one in gradients]
    return [one.clone() for one in (y.detach(), *wholes)]  # which waits for what is still on its way


def in_a_process(first_bias: bool, second_bias: bool, cut: bool, _: int) -> tuple[list[Tensor], int]:
    """(`results` of the first layer cut by its outputs and the second by its inputs, calls of oneDNN)."""
    whole, calls = linear._onednn, list[int]()

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        calls.append(1)
        return whole(x, weight, bias)

    layers, x, dy = made(first_bias, second_bias)
    mesh = init_device_mesh("cpu", (2,))
    ends = {"input_layouts": Shard(1)}, {"output_layouts": Shard(1)}
    first, second = (
        (ColwiseParallel(**ends[0]), RowwiseParallel(**ends[1])) if cut else (ColwiseParallel(), RowwiseParallel())
    )
    parallelize_module(layers, mesh, {"0": first, "1": second})
    if cut:
        x, dy = (part.chunk(2, dim=1)[mesh.get_local_rank()] for part in (x, dy))
    linear.ONEDNN_IS_FASTER, linear.MIN_ONEDNN, linear._onednn = True, 0, counted  # in this process alone
    try:
        return results(layers, x, dy), len(calls)
    finally:
        linear._onednn = whole


def test_two_processes_compute_what_one_does() -> None:
    found = ranks.run_each(2, in_a_process, CASES)
    for case, (first_bias, second_bias, cut, matmuls) in CASES.items():
        expected = results(*made(first_bias, second_bias))
        for rank, (values, calls) in enumerate(found[case]):
            for number, (one, other) in enumerate(zip(values, expected, strict=True)):
                part = other.chunk(2, dim=1)[rank] if cut and number < 2 else other  # y and the gradient of x
                torch.testing.assert_close(one, part, rtol=1e-4, atol=1e-4, msg=f"{case}, {number}")
            assert calls == matmuls, case  # forward, and the gradients of x and of the matrix, of each layer
