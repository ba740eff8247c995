"""The split into training and held-out documents, by the hash in their ids: the same in every run, on every machine."""

import math

import numpy as np
from numpy.typing import NDArray


def heldout(hashes: NDArray[np.uint64], fraction: float, kept: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which documents go to the held-out set: those whose hash, scaled to [0, 1), is below `fraction`.

    Of two or more documents, at least one goes to the held-out set if `fraction` is above 0 (that with the smallest
    hash), and at least one to the training set (that with the largest).

    Args:
        hashes: [documents] the first 64 bits of each id.
        fraction: of the documents, 0 <= fraction < 1.
        kept: [documents] which documents are still there; the others are neither counted nor chosen.
    """
    there = np.ones(len(hashes), bool) if kept is None else kept
    chosen = there & (hashes < np.uint64(math.ceil(fraction * 2**64)))
    (rows,) = np.nonzero(there)
    if fraction > 0 and not chosen.any() and len(rows) > 1:
        chosen[rows[np.argmin(hashes[rows])]] = True
    if len(rows) and chosen.sum() == len(rows):
        chosen[rows[np.argmax(hashes[rows])]] = False
    return chosen
