"""Which part of a global batch a process reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataRank:
    """Data-parallel rank `rank` of `size`: it reads one of `size` nearly equal parts of every batch."""

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> range:
        """The items of `count` that this rank reads: consecutive ones, and all ranks together read every item once."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)


SINGLE = DataRank()
