"""Constants and steps that the hash functions of the kernels have in common.

A factor is odd, so that multiplying by it loses nothing modulo 2^64, and its bits are without pattern. The result is
well mixed in its upper half alone, hence the `x ^ (x >> 32)` between two of them.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import Integer, lean_helper

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
BASE = np.uint64(0xD6E8FEB86659FD93)  # of rolling polynomials over words
HALF, ONE = np.uint64(32), np.uint64(1)


def byte_masks(largest: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """`(first, second)`, each [largest + 1]: which bits of the first and of the second eight bytes loaded from where a
    word begins belong to a word of so many bytes; `largest` is at most 16."""
    first = [(1 << 8 * min(size, 8)) - 1 for size in range(largest + 1)]
    second = [(1 << 8 * max(size - 8, 0)) - 1 for size in range(largest + 1)]
    return np.array(first, dtype=np.uint64), np.array(second, dtype=np.uint64)


@lean_helper
def power(base: Integer, exponent: Integer) -> Integer:
    """`base ** exponent` modulo 2^64."""
    result = ONE
    for _ in range(exponent):
        result *= base
    return result


@lean_helper
def folded(number: Integer) -> Integer:
    """`number` with its upper half in its lower half too; a bijection."""
    return number ^ (number >> HALF)
