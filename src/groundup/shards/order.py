"""In which order samples are drawn: a new permutation every epoch, computed and never stored.

The k-th draw is sample `perm(k mod n)` of epoch `k div n`, so a loader's whole state is the integer k: nothing else
is saved, and the order depends on neither workers nor ranks.

The permutation is a Feistel network (Luby and Rackoff 1988) over the smallest range of 4^h numbers that holds n, with
cycle walking (Black and Rogaway 2002): an outcome beyond n goes through the network again until it lies below n. The
network is a bijection of its range, so this is one of range(n); 4^h < 4n bounds the walk to four rounds on average.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6


class Permutation:
    """A pseudo-random permutation of range(n), n up to 2^62.

    Args:
        n: how many numbers are permuted, at least 1.
        seed: any integer.
        epoch: a second part of the seed.
    """

    def __init__(self, n: int, seed: int, epoch: int = 0) -> None:
        if not 1 <= n <= 1 << 62:
            raise ValueError(f"there is no permutation of {n} numbers here")
        self.n = n
        self._half = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))  # bits of each half
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = _round_keys(seed, epoch)

    @overload
    def __call__(self, index: int) -> int: ...
    @overload
    def __call__(self, index: NDArray[np.integer]) -> NDArray[np.int64]: ...
    def __call__(self, index: int | NDArray[np.integer]) -> int | NDArray[np.int64]:
        """Where `index`, or each of an array, goes. Raises IndexError outside of range(n)."""
        given = np.asarray(index, dtype=np.int64)
        if given.size and (given.min() < 0 or given.max() >= self.n):
            raise IndexError(f"an index is outside of range({self.n})")
        values = self._network(given.astype(np.uint64).ravel())
        while (outside := np.flatnonzero(values >= self.n)).size:
            values[outside] = self._network(values[outside])
        result = values.astype(np.int64).reshape(given.shape)
        return int(result) if isinstance(index, int) else result

    def _network(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of the outcome depends on every bit of `x`."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@lru_cache(maxsize=64)
def _round_keys(seed: int, epoch: int) -> tuple[np.uint64, ...]:
    digest = hashlib.blake2b(f"{seed}/{epoch}".encode(), digest_size=8 * ROUNDS).digest()
    return tuple(np.frombuffer(digest, dtype="<u8").astype(np.uint64))


def sample_at(draw: int, samples: int, seed: int) -> int:
    """Which of `samples` samples the draw number `draw` (from 0, through all epochs) is."""
    epoch, index = divmod(draw, samples)
    return Permutation(samples, seed, epoch)(index)


def samples_at(first_draw: int, count: int, samples: int, seed: int) -> NDArray[np.int64]:
    """`sample_at` of the `count` draws from `first_draw` on."""
    parts = [
        Permutation(samples, seed, epoch)(np.arange(first, last))
        for epoch, first, last in _epochs(first_draw, count, samples)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _epochs(first_draw: int, count: int, samples: int) -> Iterator[tuple[int, int, int]]:
    """The draws cut at the ends of epochs: `(epoch, first, last + 1)`, counted within the epoch."""
    draw, end = first_draw, first_draw + count
    while draw < end:
        epoch, first = divmod(draw, samples)
        last = min(samples, first + end - draw)
        yield epoch, first, last
        draw += last - first
