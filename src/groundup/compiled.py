"""Compiling numba kernels, and keeping their machine code on disk for the next process.

numba takes kept code for good as long as the file of the kernel itself is the same, although a kernel is compiled
together with the helpers that it calls from other files. Here code is kept under a digest of all files of the room
that have kernels or helpers, so that an edit in any of them compiles anew.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

HERE = Path(__file__).parent

F = TypeVar("F", bound=Callable)


def compiled(function: F, **options: Any) -> F:
    """`function` compiled for its first arguments' types, with `options` of `numba.njit`; the GIL is released in it."""
    try:
        dispatcher = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # no folder to keep machine code in can be written: compile in every process
        return cast(F, numba.njit(nogil=True, **options)(function))
    index = dispatcher._cache._cache_file
    index._source_stamp = (index._source_stamp, digest_of(function.__module__.rpartition(".")[0]))
    return cast(F, dispatcher)


@lru_cache
def digest_of(package: str) -> str:
    """SHA-256 over the files in which the word `kernel` occurs, of the room that a package is in: those with kernels,
    helpers and constants."""
    digest = hashlib.sha256()
    room = HERE.joinpath(*package.split(".")[1:2])
    for path in sorted(room.rglob("*.py")) if package.startswith("groundup.") else ():
        content = path.read_bytes()
        if b"kernel" in content:
            digest.update(content)
    return digest.hexdigest()
