"""Reading memory by its address, one or eight bytes at a time, and other things that numba itself lacks.

The helpers of this room's kernels take the address of an array's first byte (`array.ctypes.data`) in place of the
array: numba counts references to an array at every call that passes one, which costs more than most helpers do.

All machines that numba runs on are little-endian: the first byte in memory is the lowest of the number.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic as numba_intrinsic

_BYTE, _EIGHT = ir.IntType(8), ir.IntType(64)


def intrinsic(function: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """What kernels call takes the second argument alone; the first is numba's."""
    return cast(Callable[[Any], Any], numba_intrinsic(function))


@intrinsic
def load8(typing_context: Any, address: Any) -> Any:
    """The byte at an address, as an int64."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], _BYTE.as_pointer())), _EIGHT)

    return types.int64(types.int64), code


@intrinsic
def load64(typing_context: Any, address: Any) -> Any:
    """The eight bytes from an address on, as a uint64; the address need not be a multiple of eight."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _EIGHT.as_pointer()), align=1)

    return types.uint64(types.int64), code


@intrinsic
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """How many of the lowest bits of a uint64 are 0; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Have the memory at an address brought near, without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        read, keep_near, data = number(0), number(3), number(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), read, keep_near, data])
        return context.get_dummy_value()

    return types.void(types.int64), code
