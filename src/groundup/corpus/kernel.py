"""How this room's numba kernels are compiled, and how they get at the bytes of Arrow texts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from groundup.compiled import compiled

if TYPE_CHECKING:
    import pyarrow as pa

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

Number = Any
"""In compiled code: an integer of fixed width, of which the type checker knows no arithmetic."""

F = TypeVar("F", bound=Callable)


def kernel(function: F) -> F:
    """Compile `function` for its first arguments' types, keep the machine code on disk, and release the GIL in it."""
    return compiled(function)


def helper(function: F) -> F:
    """Compile `function` as a part of the kernels that call it.

    It is not kept on disk by itself: machine code that comes from there can't be inlined any more.
    """
    options: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True}
    return cast(F, numba.njit(**options)(function))


def instruction(function: Callable) -> Any:
    """Make `function`, which writes LLVM code, something that compiled code can call."""
    return intrinsic(function)


def buffers(texts: "pa.Array") -> tuple[Bytes, Offsets]:
    """`(bytes, offsets)` of texts without copying the bytes: text i is `bytes[offsets[i]:offsets[i + 1]]`.

    Args:
        texts: an array of type string or large_string, without nulls; it may be a slice.
    """
    import pyarrow as pa

    wide = pa.types.is_large_string(texts.type)
    if not wide and not pa.types.is_string(texts.type):
        raise TypeError(f"texts are an Arrow array of strings, not of {texts.type}")
    if texts.null_count:
        raise ValueError("texts must not hold nulls")
    _, places, data = texts.buffers()
    if places is None or not len(texts):
        return np.zeros(0, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    every = np.frombuffer(places, dtype=np.int64 if wide else np.int32)
    offsets = every[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    empty = data is None or data.size == 0
    return np.zeros(0, dtype=np.uint8) if empty else np.frombuffer(data, dtype=np.uint8), offsets


def as_texts(data: Bytes, offsets: Offsets) -> "pa.Array":
    """The inverse of `buffers`: a large_string array over the same memory. `data` must be UTF-8."""
    import pyarrow as pa

    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


@instruction
def load64(typing_context: Any, array: Any, at: Any) -> Any:
    """`array[at : at + 8]` of a contiguous uint8 array as one uint64; neither alignment nor bounds are checked.

    All machines that numba runs on are little-endian: the first byte in memory is the lowest of the number.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1)

    return types.uint64(array, types.intp), code


@instruction
def bytes_equal(typing_context: Any, array: Any, at: Any, byte: Any) -> Any:
    """Which of `array[at : at + 64]` are `byte` (a uint8), as the bits of one uint64, the first byte's the lowest."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        many = ir.VectorType(ir.IntType(8), 64)
        address = builder.bitcast(builder.gep(data, [arguments[1]]), many.as_pointer())
        one = builder.insert_element(ir.Constant(many, ir.Undefined), arguments[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        every = builder.shuffle_vector(one, one, zeros)
        equal = builder.icmp_unsigned("==", builder.load(address, align=1), every)
        return builder.bitcast(equal, ir.IntType(64))

    return types.uint64(array, types.intp, types.uint8), code


@instruction
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """How many of the lowest bits of a uint64 are 0; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code
