"""Samples of equal length, cut from a row of tokens, in the order of training.

    windows = Windows(TokenShard.open(folder, "train", vocabulary_size), length=128)
    rows = windows.batch(first_draw=step * 12, count=12, seed=1337)   # (12, 129)
    inputs, targets = rows[:, :-1], rows[:, 1:]

Sample i is the `length + 1` tokens from `i * length` on: neighbours share one token, so that every token but the first
is a target once an epoch. The few tokens behind the last full sample are not used.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.shards.order import sample_at, samples_at
from groundup.shards.token_file import TokenShard


class Windows:
    """The samples of `length` inputs (and as many targets, one token on) in a shard.

    Raises:
        GroundupError: the shard holds not even one.
    """

    def __init__(self, shard: TokenShard, length: int) -> None:
        if length < 1:
            raise ValueError(f"a sample has at least one token, not {length}")
        self.shard, self.length = shard, length
        self._samples = max(0, len(shard) - 1) // length
        if not self._samples:
            raise GroundupError(
                f"the documents have {len(shard):,} tokens, too few for one sequence of {length:,}",
                do="add documents or choose shorter sequences",
            )
        self._row = np.arange(length + 1)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._samples

    def sample(self, index: int) -> NDArray[np.int64]:
        """(length + 1,) tokens of sample `index`."""
        if not 0 <= index < self._samples:
            raise IndexError(f"there is no sample {index} among {self._samples}")
        return self.shard.tokens[self._row + index * self.length].astype(np.int64)

    def batch(self, first_draw: int, count: int, seed: int) -> NDArray[np.int64]:
        """(count, length + 1) tokens of the draws `first_draw` to `first_draw + count - 1`; a draw may lie in any
        epoch, and each epoch has an order of its own."""
        samples = samples_at(first_draw, count, self._samples, seed)
        return self.shard.tokens[samples[:, None] * self.length + self._row].astype(np.int64)

    def documents(self, draw: int, seed: int) -> list[str]:
        """The ids of the documents that a draw takes tokens from, in their order."""
        first = sample_at(draw, self._samples, seed) * self.length
        documents = range(self.shard.document_at(first), self.shard.document_at(first + self.length) + 1)
        return [self.shard.document_ids[document] for document in documents]
