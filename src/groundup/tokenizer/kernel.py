"""How the numba kernels of this room are compiled."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np

Integer = int | np.signedinteger
"""A number in a kernel. numba compiles a kernel anew for each width, so callers widen theirs with `np.int64`."""

F = TypeVar("F", bound=Callable)


def kernel(function: F) -> F:
    """Compile `function` for its first arguments' types, keep the machine code on disk, and release the GIL in it."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder to keep machine code in can be written: compile in every process
        return cast(F, numba.njit(nogil=True)(function))
