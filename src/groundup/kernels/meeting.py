"""Where threads of one kernel wait for each other: none continues before all have come.

Waiting is a loop that looks, as long as a short part of a kernel takes, and then gives the processor away between two
looks, for what else the machine may have to do.
"""

import os
import platform
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numpy.typing import NDArray

from groundup.kernels.compilation import helper, instruction

POSSIBLE = os.name == "posix" and platform.machine() == "x86_64"  # `sched_yield` and `pause` are there
LOOKS = 4000  # some tens of microseconds
COME, GONE = 0, 8  # far enough from each other to be of two cache lines

_yield = types.ExternalFunction("sched_yield", types.int32())


def meetings() -> NDArray[np.int64]:
    """For one call of a kernel: how many have come to its meetings so far, and whether one of the threads is gone."""
    return np.zeros(16, dtype=np.int64)


@helper
def meet(counters: NDArray[np.int64], threads: int, before: int) -> int:
    """Wait until all threads are here; how many have come then.

    Args:
        before: what the last meeting of this call returned, at first 0.
    """
    if threads == 1:
        return 0
    wanted = before + threads
    _come(counters, COME)
    looks = 0
    while _seen(counters, COME) < wanted and _seen(counters, GONE) == 0:
        looks += 1
        if looks < LOOKS:
            _pause()
        else:
            _yield()
    return wanted


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@instruction
def _come(typing_context: Any, counters: Any, at: Any) -> Any:
    """One more, seen by all threads."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        builder.atomic_rmw("add", _address(context, builder, signature, arguments), one, "seq_cst")
        return context.get_dummy_value()

    return types.void(counters, types.int64), code


@instruction
def _seen(typing_context: Any, counters: Any, at: Any) -> Any:
    """The number as it is now; what other threads wrote before they raised it is seen after this."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_address(context, builder, signature, arguments), "acquire", align=8)

    return types.int64(counters, types.int64), code


@instruction
def _pause(typing_context: Any) -> Any:
    """A hint to the processor that this is a loop that waits."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(), code
