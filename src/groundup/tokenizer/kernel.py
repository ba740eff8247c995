"""How the numba kernels of this room are compiled.

What this room does a hundred million times a second is too little to count references for, and numba counts them, with
two atomic instructions, whenever an array is passed on. So lean kernels allocate nothing and do without; and their
helpers take addresses where that is enough (`bits.py`), which is also faster to compile.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from groundup.compiled import compiled

Integer = Any
"""A number in a kernel, of 64 bits; `np.uint64` or `np.int64`, which mix to a float and so must not be mixed."""

F = TypeVar("F", bound=Callable)

_LEAN: dict[str, Any] = {"_nrt": False}  # no run time that counts references; numba's stubs do not know the option


def kernel(function: F) -> F:
    """Compile `function` for its first arguments' types, keep the machine code on disk, and release the GIL in it."""
    return compiled(function)


def lean_kernel(function: F) -> F:
    """`kernel` for a function that allocates nothing."""
    return compiled(function, **_LEAN)


def helper(function: F) -> F:
    """Compile `function` as a part of the lean kernels that call it, which alone are kept on disk."""
    options = {"nogil": True, "no_cpython_wrapper": True, **_LEAN}
    return cast(F, numba.njit(**options)(function))
