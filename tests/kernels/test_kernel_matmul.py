"""The kernels' matmul and exponential are NumPy's, whatever the sizes."""

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from groundup.kernels.exponential import exp
from groundup.kernels.matmul import HAS_BFLOAT16, in_bfloat16, multiply, operand, packed, padded_columns


@numba.njit
def multiplied(panels: NDArray, x: NDArray, halves: NDArray, middle: int, out: NDArray) -> None:
    """In two parts, as threads have them."""
    if halves.size:
        in_bfloat16(x, len(x), 2 * panels.shape[1], halves)
    multiply(panels, middle, len(panels), operand(panels, x, halves), len(x), out)
    multiply(panels, 0, middle, operand(panels, x, halves), len(x), out)


@numba.njit
def exponentials(x: NDArray, out: NDArray) -> None:
    for i in range(len(x)):
        out[i] = exp(x[i])


@pytest.mark.parametrize("kind", [np.float32, np.int8])
@pytest.mark.parametrize("outputs, inputs", [(1, 1), (32, 4), (33, 7), (100, 96)])
def test_multiply_is_numpy_s(kind: type, outputs: int, inputs: int) -> None:
    """For every number of rows up to two of the largest tiles; what is beyond the inputs counts for nothing."""
    random = np.random.default_rng(1)
    matrix = random.integers(-127, 128, (outputs, inputs)).astype(kind)
    for rows in range(1, 17):
        x = random.normal(size=(rows, padded_columns(inputs))).astype(np.float32)
        out = np.full((rows, padded_columns(outputs)), np.nan, dtype=np.float32)
        multiplied(packed(matrix), x, np.zeros((rows, 0), dtype=np.uint32), rows % 2, out)
        expected = x[:, :inputs].astype(np.float64) @ matrix.T.astype(np.float64)
        np.testing.assert_allclose(out[:, :outputs], expected, rtol=1e-5, atol=1e-3)
        assert not out[:, outputs:].any()


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor doesn't multiply bfloat16")
@pytest.mark.parametrize("outputs, inputs", [(1, 1), (32, 8), (33, 7), (100, 96)])
def test_multiply_of_bfloat16_is_that_of_rounded_numbers(outputs: int, inputs: int) -> None:
    random = np.random.default_rng(1)
    rounded = torch.from_numpy(random.normal(size=(outputs, inputs))).to(torch.bfloat16)
    panels = packed(rounded.view(torch.int16).numpy().view(np.uint16))
    for rows in range(1, 17):
        x = random.normal(size=(rows, padded_columns(inputs))).astype(np.float32)
        halves = np.zeros((rows, padded_columns(inputs) // 2), dtype=np.uint32)
        out = np.full((rows, padded_columns(outputs)), np.nan, dtype=np.float32)
        multiplied(panels, x, halves, rows % 2, out)
        expected = torch.from_numpy(x[:, :inputs]).to(torch.bfloat16).double() @ rounded.double().T
        np.testing.assert_allclose(out[:, :outputs], expected, rtol=1e-5, atol=1e-5)
        assert not out[:, outputs:].any()


def test_exp_is_numpy_s() -> None:
    x = np.linspace(-86.9, 87.9, 100_001).astype(np.float32)
    out = np.empty_like(x)
    exponentials(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=2**-22)
    special = np.array([-np.inf, -100, 0, 100, np.inf, np.nan], dtype=np.float32)
    exponentials(special, out)
    np.testing.assert_array_equal(out[:6], np.array([0, 0, 1, np.inf, np.inf, np.nan], dtype=np.float32))
