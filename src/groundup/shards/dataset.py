"""The samples as a PyTorch data set, for training loops that are not groundup's own.

    samples = DrawnSamples(stream, draws=1_000_000)
    order = RankDraws(first=0, last=1_000_000, rank=0, ranks=1)
    for rows_BT in DataLoader(samples, batch_size=32, sampler=order, num_workers=4): ...

Item d is draw d, so what a loader serves is the same with any number of workers, and `first` is all that a resumed run
needs, also on another number of ranks. Workers map the shard's files themselves; no tokens are copied.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from groundup.shards.stream import SampleStream


class DrawnSamples(Dataset[Tensor]):
    """The first `draws` draws of a stream: item d is int64 [length + 1], inputs and, one on, targets.

    >>> from groundup.shards import SampleStream, TokenShard
    >>> stream = SampleStream(TokenShard.of([[1, 2, 3, 4, 0]]), length=4, seed=0)
    >>> DrawnSamples(stream, draws=3)[2]
    tensor([1, 2, 3, 4, 0])
    """

    def __init__(self, stream: SampleStream, draws: int) -> None:
        self.stream, self.draws = stream, draws

    def __len__(self) -> int:
        return self.draws

    def __getitem__(self, draw: int) -> Tensor:
        if not 0 <= draw < self.draws:
            raise IndexError(f"there is no draw {draw} among {self.draws}")
        return torch.from_numpy(self.stream.batch(draw, 1)[0])

    def __getitems__(self, draws: Sequence[int]) -> list[Tensor]:
        """What a `DataLoader` asks for a batch."""
        return [self[draw] for draw in draws]


class RankDraws(Sampler[int]):
    """The draws `first` to `last - 1` that are one rank's: every `ranks`-th of them.

    >>> list(RankDraws(first=0, last=6, rank=1, ranks=2))
    [1, 3, 5]

    With R ranks of B rows, step n reads the same draws `first + n R B ...` as one rank of R B rows.

    Args:
        first: how many draws were served before, by all ranks together.
    """

    def __init__(self, first: int, last: int, rank: int = 0, ranks: int = 1) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"there is no rank {rank} of {ranks}")
        self._draws = range(first + rank, last, ranks)

    def __iter__(self) -> Iterator[int]:
        return iter(self._draws)

    def __len__(self) -> int:
        return len(self._draws)
