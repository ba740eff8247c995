"""Which source each draw comes from, when sources are mixed by weight: in closed form, so that no state is kept.

Draws are numbered from 0 and come in blocks of 8,192. In each block every source has the same number of draws, its
fraction rounded (largest remainder, at least one), at the same positions: its j-th of n draws would ideally fall at
(j + 1/2) / n of the block, and all are put in the order of these times. So draw d is the source `order[d mod 8192]`,
and how many draws the source had before is a multiplication and a look into a table; after any number of draws each
source has had its fraction to within about one draw, not only on average. Samples are of equal length, so fractions of
draws are fractions of tokens.

    mixture = Mixture([0.7, 0.2, 0.1])
    sources, nth = mixture.draws(0, 10)     # [0 0 1 0 0 2 0 1 0 0], and each draw's index within its source
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 8192  # draws: fractions are honoured to 1/8192


class Mixture:
    """An endless order of sources with fixed proportions.

    Args:
        weights: of each source, at least one; only their proportions matter.

    Raises:
        ValueError: a weight that is not above 0, or more sources than a block has draws.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        if not 0 < len(weights) <= BLOCK:
            raise ValueError(f"{len(weights)} sources can't be mixed here")
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"weights must be above 0: {list(weights)}")
        self.block = BLOCK if len(weights) > 1 else 1
        self.counts = _apportion(weights, self.block)  # draws of each source in a block
        sources = np.repeat(np.arange(len(weights)), self.counts)
        nth = np.concatenate([np.arange(count) for count in self.counts])
        times = (2 * nth + 1) / self.counts[sources]
        order = np.lexsort((sources, times))
        self._sources, self._nth = sources[order], nth[order]

    def draws(self, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The source of the draws `first` to `first + count - 1`, and each draw's index within its source."""
        blocks, positions = np.divmod(np.arange(first, first + count), self.block)
        sources = self._sources[positions]
        return sources, blocks * self.counts[sources] + self._nth[positions]

    def drawn(self, draws: int) -> NDArray[np.int64]:
        """How many of the first `draws` draws each source has given."""
        blocks, rest = divmod(draws, self.block)
        return blocks * self.counts + np.bincount(self._sources[:rest], minlength=len(self.counts))


def _apportion(weights: Sequence[float], seats: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `seats`, each at least one and as near to the proportion of `weights` as can be."""
    ideal = np.asarray(weights, dtype=np.float64) / math.fsum(weights) * seats
    counts = np.maximum(1, np.floor(ideal)).astype(np.int64)
    while left := seats - counts.sum():
        if left > 0:
            counts[np.argmax(ideal - counts)] += 1
        else:
            counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts
