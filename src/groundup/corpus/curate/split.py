"""Which documents are held out: decided by the hash in their id, so that no run and no machine decides otherwise."""

import math

import numpy as np
from numpy.typing import NDArray


def heldout(hashes: NDArray[np.uint64], share: float, kept: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which documents are held out: those whose hash, read as a fraction, lies below `share`.

    Of two or more documents at least one is held out where `share` is above 0, and at least one is not: the one with
    the smallest, or the largest, hash.

    Args:
        hashes: [documents] the first 64 bits of each id.
        share: of the documents, at least 0 and below 1.
        kept: [documents] which documents there still are; the others are neither counted nor held out.
    """
    there = np.ones(len(hashes), bool) if kept is None else kept
    chosen = there & (hashes < np.uint64(math.ceil(share * 2**64)))
    (places,) = np.nonzero(there)
    if share > 0 and not chosen.any() and len(places) > 1:
        chosen[places[np.argmin(hashes[places])]] = True
    if len(places) and chosen.sum() == len(places):
        chosen[places[np.argmax(hashes[places])]] = False
    return chosen
