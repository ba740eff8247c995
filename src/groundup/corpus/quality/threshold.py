"""The score from which on a given fraction of the documents is kept, exact, whatever their number."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

_BINS = 1 << 16


def threshold_keeping(parts: Callable[[], Iterable[NDArray[np.float32]]], fraction: float) -> float:
    """The highest score s so that at least `fraction` of the documents have a score of s or more.

    Where many documents have that score, more than `fraction` are kept. The bits of a float32 of 0 or more rise with
    its value, so two passes of counting, over the upper and then the lower 16 bits, find it in half a megabyte.

    Args:
        parts: called twice; gives all scores, each in 0 to 1 (NaN: not scored, and not counted).
        fraction: in (0, 1].

    Returns:
        The threshold; 0 where there are no scores.
    """
    upper = np.zeros(_BINS, dtype=np.int64)
    for scores in parts():
        upper += np.bincount(_bits(scores) >> 16, minlength=_BINS)
    wanted = int(np.ceil(fraction * int(upper.sum()) - 1e-9))
    if not wanted:
        return 0.0
    high, above = _bin_of(upper, wanted)
    lower = np.zeros(_BINS, dtype=np.int64)
    for scores in parts():
        bits = _bits(scores)
        lower += np.bincount(bits[bits >> 16 == high] & (_BINS - 1), minlength=_BINS)
    low, _ = _bin_of(lower, wanted - above)
    return float(np.array([high << 16 | low], dtype=np.uint32).view(np.float32)[0])


def _bits(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    scored = scores[~np.isnan(scores)].astype(np.float32) + np.float32(0)  # -0 becomes 0
    return scored.view(np.uint32).astype(np.int64)


def _bin_of(counts: NDArray[np.int64], wanted: int) -> tuple[int, int]:
    """`(bin, how many are above it)`: the highest bin with at least `wanted` in it and above."""
    from_top = np.cumsum(counts[::-1])
    at = int(np.searchsorted(from_top, wanted))
    return len(counts) - 1 - at, int(from_top[at] - counts[::-1][at])
