"""Loads of one or eight bytes, by address or from an array, and other instructions that numba lacks.

All machines that numba runs on are little-endian: the first byte in memory is the lowest of the number. Nothing here
checks bounds.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numpy.typing import NDArray

from groundup.kernels.compilation import helper, instruction

_BYTE, _EIGHT = ir.IntType(8), ir.IntType(64)


@instruction
def load8(typing_context: Any, address: Any) -> Any:
    """The byte at an address, as an int64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], _BYTE.as_pointer())), _EIGHT)

    return types.int64(types.int64), code


@instruction
def load64(typing_context: Any, address: Any) -> Any:
    """The eight bytes from an address on, as a uint64; the address need not be a multiple of eight."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _EIGHT.as_pointer()), align=1)

    return types.uint64(types.int64), code


@instruction
def load64_at(typing_context: Any, array: Any, index: Any) -> Any:
    """`array[index : index + 8]` of a contiguous uint8 array, as one uint64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), _EIGHT.as_pointer()), align=1)

    return types.uint64(array, types.intp), code


@helper
def load64_before(array: NDArray[np.uint8], index: int, end: int) -> np.uint64:
    """`array[index : index + 8]` as one uint64, with zeros for the bytes from `end` on; `index` is below `end`."""
    if index + 8 <= end:
        return load64_at(array, index)
    value = np.uint64(0)
    for byte in range(end - index):
        value |= np.uint64(array[index + byte]) << np.uint64(8 * byte)
    return value


@instruction
def bytes_equal(typing_context: Any, array: Any, index: Any, byte: Any) -> Any:
    """Which of `array[index : index + 64]` are `byte` (a uint8), as the bits of one uint64, the first byte's lowest."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        many = ir.VectorType(_BYTE, 64)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), many.as_pointer())
        one = builder.insert_element(ir.Constant(many, ir.Undefined), arguments[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        every = builder.shuffle_vector(one, one, zeros)
        equal = builder.icmp_unsigned("==", builder.load(address, align=1), every)
        return builder.bitcast(equal, _EIGHT)

    return types.uint64(array, types.intp, types.uint8), code


@instruction
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """How many of the lowest bits of a uint64 are 0; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


@instruction
def prefetch(typing_context: Any, address: Any) -> Any:
    """Bring the memory at an address into the cache, without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = _BYTE.as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        read, keep_near, data = number(0), number(3), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), read, keep_near, data])
        return context.get_dummy_value()

    return types.void(types.int64), code
