"""Samples of equal length, cut from a row of tokens.

Sample i is the `length + 1` tokens from `i * length` on: inputs and, one token on, targets. Neighbours share one token,
so that every token but the first is a target once an epoch. The tokens after the last full sample, fewer than
`length`, are not used; of a mixture that holds for each source on its own.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.shards.token_file import TokenShard


class Windows:
    """The samples of `length` inputs (and as many targets, one token on) in a shard.

    Args:
        source: cut only the documents of this source, which are contiguous; None: all.

    Raises:
        GroundupError: they hold not even one, or there is no such source.
    """

    def __init__(self, shard: TokenShard, length: int, source: str | None = None) -> None:
        if length < 1:
            raise ValueError(f"a sample has at least one token, not {length}")
        self.shard, self.length = shard, length
        self.first, last = (0, len(shard)) if source is None else _span(shard, source)
        self._samples = max(0, last - self.first - 1) // length
        if not self._samples:
            which = "the documents have" if source is None else f"the documents of {source} have"
            raise GroundupError(
                f"{which} {last - self.first:,} tokens, too few for one sequence of {length:,}",
                do="add documents or choose shorter sequences",
            )

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._samples

    def start(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the shard's tokens samples begin."""
        return self.first + index * self.length

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """(samples, length + 1) tokens. Raises IndexError where there is no such sample."""
        if index.size and not 0 <= index.min() <= index.max() < self._samples:
            raise IndexError(f"there is no sample {index.min()} or {index.max()} among {self._samples}")
        return sliding_window_view(self.shard.tokens, self.length + 1)[self.start(index)].astype(np.int64)

    def documents(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """(samples, length) to which document each input belongs; see `documents_at`."""
        return documents_at(self.shard, self.start(index), self.length)


def _span(shard: TokenShard, source: str) -> tuple[int, int]:
    if source not in shard.spans:
        names = ", ".join(shard.spans) or "none"
        raise GroundupError(f"there are no documents of a source {source!r}", do=f"there are {names}")
    return shard.spans[source]


def documents_at(shard: TokenShard, starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """(rows, length) to which document each token belongs of rows that begin at `starts`, numbered from 0 in each row:
    for attention that is kept inside documents.

    The `<|endoftext|>` between two documents counts to the latter: it is what that one's first token is predicted
    from, as in generation and evaluation.
    """
    belongs = np.zeros((len(starts), length), dtype=np.int64)
    first = np.searchsorted(shard.starts, starts + 1, side="right")  # the next document's beginning in each row
    after = np.searchsorted(shard.starts, starts + length, side="right")
    counts = after - first
    rows = np.repeat(np.arange(len(starts)), counts)
    documents = np.arange(len(rows)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    belongs[rows, shard.starts[documents] - 1 - starts[rows]] = 1
    return np.cumsum(belongs, axis=1)


def positions(documents_BT: NDArray[np.int64]) -> NDArray[np.int64]:
    """(rows, length) the position of each token within its document's part of the row, from 0."""
    positions = np.arange(documents_BT.shape[1])
    begins = np.diff(documents_BT, axis=1, prepend=-1) != 0
    return positions - np.maximum.accumulate(np.where(begins, positions, 0), axis=1)
