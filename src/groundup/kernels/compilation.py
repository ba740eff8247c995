"""Compiling functions with numba, and keeping their machine code on disk for the next process.

    @kernel        called from Python; compiled for its first arguments' types, kept on disk, runs without the GIL
    @helper        called by kernels, which it is compiled into
    @lean_kernel   a kernel that allocates nothing and counts no references
    @lean_helper   a helper of lean kernels
    @fast_kernel   a kernel that may add numbers in any order, and so many at once
    @fast_helper   a helper of fast kernels
    @instruction   a function that writes LLVM code, called by kernels and helpers

numba counts references, with two atomic instructions, whenever an array is passed to another function. Loops that run
a hundred million times a second can't pay for that: lean kernels do without, and their helpers take an array's address
(`array.ctypes.data`) where that is enough, which is also faster to compile.

numba itself reuses kept machine code as long as the kernel's own file is unchanged. Here it is kept under the digest
of all files that the kernel depends on (`sources.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

from groundup.kernels.sources import source_digest

Integer = Any
"""An integer of 64 bits in compiled code: `np.uint64` or `np.int64`, which mixed give a float and so must not be mixed.
The type checker knows no arithmetic of fixed width."""

F = TypeVar("F", bound=Callable)

_LEAN: dict[str, Any] = {"_nrt": False}  # no run time that counts references; numba's stubs do not know the option
_FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}}  # infinities and NaN keep their meaning
_HELPER: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True}  # not cached: cached code can't be inlined


def kernel(function: F) -> F:
    """Compile `function` for its first arguments' types, keep the machine code on disk, and release the GIL in it."""
    return _cached(function, {})


def lean_kernel(function: F) -> F:
    """`kernel` for a function that allocates nothing."""
    return _cached(function, _LEAN)


def helper(function: F) -> F:
    """Compile `function` as a part of the kernels that call it."""
    return cast(F, numba.njit(**_HELPER)(function))


def lean_helper(function: F) -> F:
    """Compile `function`, which allocates nothing, as a part of the lean kernels that call it."""
    return cast(F, numba.njit(**_HELPER, **_LEAN)(function))


def fast_kernel(function: F) -> F:
    """`kernel` for a function whose sums of floats may be added in any order."""
    return _cached(function, _FAST)


def fast_helper(function: F) -> F:
    """Compile `function` as a part of the fast kernels that call it."""
    return cast(F, numba.njit(**_HELPER, **_FAST)(function))


def instruction(function: Callable) -> Any:
    """Let compiled code call what `function` writes as LLVM code; its first parameter is numba's typing context."""
    return intrinsic(function)


def _cached(function: F, options: dict[str, Any]) -> F:
    try:
        dispatcher = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # there is no folder for machine code that can be written: compile in every process
        return cast(F, numba.njit(nogil=True, **options)(function))
    index = dispatcher._cache._cache_file
    # Next to numba's version, which is compared before anything else is unpickled: kept signatures name classes that an
    # edit may have renamed.
    index._version = (index._version, source_digest(Path(function.__code__.co_filename)))
    return cast(F, dispatcher)
