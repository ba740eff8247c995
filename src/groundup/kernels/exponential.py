"""e to the power of a float32, as arithmetic that compilers turn into vector instructions; the library's function is
called number by number."""

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from groundup.kernels.compilation import instruction

LOWEST, HIGHEST = -87.0, 88.0  # beyond them the result is 0, or infinite
_POLYNOMIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4  # their sum is ln 2; n times the first is exact

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


@instruction
def exp(typing_context: Any, x: Any) -> Any:
    """e^x of a float32, off by at most 2 units in the last of its 24 binary digits (Cephes, expf.c); NaN stays NaN.

    x = n ln 2 + r with an integer n and |r| <= ln(2)/2; e^r is a polynomial, and 2^n is n in the exponent's bits.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x = arguments[0]
        low, high = (_FLOAT(float(np.float32(limit))) for limit in (LOWEST, HIGHEST))
        limited = builder.select(builder.fcmp_ordered(">", x, low), x, low)  # NaN becomes a number: n must be one
        limited = builder.select(builder.fcmp_ordered("<", limited, high), limited, high)
        floor = builder.module.declare_intrinsic("llvm.floor", [_FLOAT])
        shifted = builder.fadd(builder.fmul(limited, _single(1 / math.log(2))), _single(0.5))
        n = builder.call(floor, [shifted])
        r = builder.fsub(x, builder.fmul(n, _single(_LN2_HIGH)))
        r = builder.fsub(r, builder.fmul(n, _single(_LN2_LOW)))
        y = _single(_POLYNOMIAL[0])
        for coefficient in _POLYNOMIAL[1:]:
            y = builder.fadd(builder.fmul(y, r), _single(coefficient))
        y = builder.fadd(builder.fadd(builder.fmul(builder.fmul(r, r), y), r), _single(1.0))
        exponent = builder.shl(builder.add(builder.fptosi(n, _INT), _INT(127)), _INT(23))
        y = builder.fmul(y, builder.bitcast(exponent, _FLOAT))
        y = builder.select(builder.fcmp_ordered("<", x, low), _single(0.0), y)
        return builder.select(builder.fcmp_ordered(">", x, high), _FLOAT(math.inf), y)

    return types.float32(types.float32), code


def _single(value: float) -> Any:
    """A constant of float32."""
    return _FLOAT(float(np.float32(value)))
