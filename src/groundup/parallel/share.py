"""Which part of a global batch a process reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Share `rank` of `size` about equal ones."""

    rank: int = 0
    size: int = 1

    def of(self, count: int) -> range:
        """The items of `count` that belong to this share: neighbours, and all shares together are all items."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)


WHOLE = Share()
