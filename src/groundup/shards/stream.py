"""Samples in the order of training: endless, a new order every epoch, and no state but how many were drawn.

    stream = SampleStream(TokenShard.open(folder, "train"), length=1024, seed=1337)
    rows_BT = stream.batch(first_draw=step * 32, count=32)        # (32, 1025) int64
    inputs_BT, targets_BT = rows_BT[:, :-1], rows_BT[:, 1:]

How draw d becomes tokens, with sources mixed by weight (without, there is one source, of all documents):

    d --mixture--> source s, and that this is its k-th draw
    k --------> epoch k div n, position k mod n            (n samples of the source)
    position --permutation of (seed, s, epoch)--> sample i
    i --windows--> tokens[first of s + i * length ...]

Every step is arithmetic. So the order depends on no number of ranks, workers or threads, and a loader's whole state is
one integer: of any split of the draws over ranks, draws from `d` on are what is left after `d` samples.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from groundup.shards.mixture import Mixture
from groundup.shards.order import samples_at
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows, documents_at

MAX_AHEAD, MIN_AHEAD = 4096, 256  # draws that are worked out at a time: each alone would cost more than its tokens


@dataclass(frozen=True)
class Span:
    """The part of one document that a draw takes."""

    draw: int
    document: int  # its number in the shard
    id: str
    source: str
    first: int  # tokens, counted within the document
    last: int  # one after it


class SampleStream:
    """The samples of a shard in the order in which they are drawn.

    >>> shard = TokenShard.of([[1, 2, 3, 4, 0], [5, 6, 7, 0]])
    >>> stream = SampleStream(shard, length=4, seed=1)
    >>> sorted(stream.batch(0, 2).tolist())  # an epoch: every token but the first is a target once
    [[0, 5, 6, 7, 0], [1, 2, 3, 4, 0]]

    Args:
        length: inputs of a sample; it has as many targets, one token on.
        seed: of the order, any integer.
        weights: the fraction of the tokens drawn that each source gets, by name; only proportions matter, and a source
            that is not named is skipped. None: all documents as one source.

    Raises:
        GroundupError: there is no such source, or one has not enough tokens for a sample.
    """

    def __init__(self, shard: TokenShard, length: int, seed: int, weights: Mapping[str, float] | None = None) -> None:
        self.shard, self.length, self.seed, self.weights = shard, length, seed, weights
        if weights is None:
            self._parts, self._seeds = [Windows(shard, length)], [seed]
        else:
            self._parts = [Windows(shard, length, name) for name in weights]
            self._seeds = [_seed_of(seed, name) for name in weights]
        self.names = ("",) if weights is None else tuple(weights)
        self.mixture = Mixture([1.0] if weights is None else list(weights.values()))
        self._samples = sliding_window_view(shard.tokens, length + 1)
        self._ahead = min(MAX_AHEAD, max(MIN_AHEAD, *map(len, self._parts)))
        self._chunk, self._starts = -1, np.empty(0, dtype=np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        return SampleStream, (self.shard, self.length, self.seed, self.weights)

    @property
    def samples(self) -> int:
        """Of all sources together, once through."""
        return sum(map(len, self._parts))

    def epochs(self, draws: int) -> dict[str, float]:
        """How often each source has been read after so many draws, by name."""
        drawn = self.mixture.drawn(draws).tolist()
        return {name: count / len(part) for name, count, part in zip(self.names, drawn, self._parts, strict=True)}

    def starts(self, first_draw: int, count: int) -> NDArray[np.int64]:
        """(count,) where in the shard's tokens the samples of the draws from `first_draw` on begin."""
        pieces = []
        while count > 0:
            chunk, position = divmod(first_draw, self._ahead)
            if chunk != self._chunk:
                self._chunk, self._starts = chunk, self._work_out(chunk * self._ahead, self._ahead)
            pieces.append(self._starts[position : position + count])
            first_draw, count = first_draw + len(pieces[-1]), count - len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, dtype=np.int64), *pieces])

    def _work_out(self, first: int, count: int) -> NDArray[np.int64]:
        sources, nth = self.mixture.draws(first, count)
        starts = np.empty(count, dtype=np.int64)
        for source, (part, seed) in enumerate(zip(self._parts, self._seeds, strict=True)):
            draws = np.flatnonzero(sources == source)
            if draws.size:  # the draws of one source follow each other
                starts[draws] = part.start(samples_at(int(nth[draws[0]]), draws.size, len(part), seed))
        return starts

    def batch(self, first_draw: int, count: int) -> NDArray[np.int64]:
        """(count, length + 1) tokens of the draws `first_draw` to `first_draw + count - 1`."""
        return self._samples[self.starts(first_draw, count)].astype(np.int64)

    def documents(self, first_draw: int, count: int) -> NDArray[np.int64]:
        """(count, length) to which document each input of these draws belongs; see `documents_at`."""
        return documents_at(self.shard, self.starts(first_draw, count), self.length)

    def spans(self, draw: int) -> list[Span]:
        """The documents that a draw takes tokens from, inputs and last target, in their order."""
        start, shard = int(self.starts(draw, 1)[0]), self.shard
        found = []
        for document in range(shard.document_at(start), shard.document_at(start + self.length) + 1):
            first, last = int(shard.starts[document]), int(shard.starts[document + 1])
            span = max(start, first) - first, min(start + self.length + 1, last) - first
            found.append(Span(draw, document, shard.document_id(document), shard.source_of(document), *span))
        return found


def _seed_of(seed: int, source: str) -> int:
    """Another order for each source, whichever others there are."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{source}".encode(), digest_size=8).digest(), "little")
