"""The split into training and held-out documents, by the hash in their ids: the same in every run, on every machine.

Those go to the held-out set whose hash, scaled to [0, 1), is below a fraction. Of two or more documents, at least one
goes there if the fraction is above 0 (that with the smallest hash), and at least one to the training set (that with
the largest). Each part counts its own, all counts make one `Split`, and each part is split by that.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class SplitCounts(TypedDict):
    """What of a part decides about the split."""

    documents: int
    chosen: int  # of them, by their hash
    smallest: list[int]  # [hash, row counted over all parts], or nothing
    largest: list[int]


@dataclass(frozen=True)
class Split:
    """Which documents are in the held-out set."""

    fraction: float
    in_heldout: int = -1  # a row that is, whatever its hash
    trained_on: int = -1  # a row that is not

    def heldout(self, hashes: NDArray[np.uint64], kept: NDArray[np.bool_], first: int) -> NDArray[np.bool_]:
        """[documents] of a part, from its first row on; documents that are not kept are not in it either."""
        chosen = kept & _chosen(hashes, self.fraction)
        for row, value in ((self.in_heldout, True), (self.trained_on, False)):
            if first <= row < first + len(hashes):
                chosen[row - first] = value
        return chosen


def count_for_split(hashes: NDArray[np.uint64], fraction: float, kept: NDArray[np.bool_], first: int) -> SplitCounts:
    """Of one part.

    Args:
        hashes: [documents] the first 64 bits of each id.
        fraction: of the documents, 0 <= fraction < 1.
        kept: [documents] which documents are still there.
        first: the row of the first of them.
    """
    rows = np.flatnonzero(kept)
    own = hashes[rows]
    ends: list[list[int]] = [[], []]
    if len(rows):
        ends = [[int(own[at]), int(rows[at]) + first] for at in (np.argmin(own), np.argmax(own))]
    chosen = int(_chosen(own, fraction).sum())
    return {"documents": len(rows), "chosen": chosen, "smallest": ends[0], "largest": ends[1]}


def agreed(fraction: float, parts: Iterable[SplitCounts]) -> Split:
    """The split of all parts, in their order."""
    some = [part for part in parts if part["documents"]]
    documents, chosen = sum(part["documents"] for part in some), sum(part["chosen"] for part in some)
    in_heldout = trained_on = -1
    if fraction > 0 and not chosen and documents > 1:
        in_heldout, chosen = min(part["smallest"] for part in some)[1], 1
    if documents and chosen == documents:
        trained_on = max(some, key=lambda part: part["largest"][0])["largest"][1]
    return Split(fraction, in_heldout, trained_on)


def _chosen(hashes: NDArray[np.uint64], fraction: float) -> NDArray[np.bool_]:
    return hashes < np.uint64(math.ceil(fraction * 2**64))
