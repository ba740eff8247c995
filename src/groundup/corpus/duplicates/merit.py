"""Which of two documents is the better one, and the columns that say so."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RowNumbers = NDArray[np.int64]


@dataclass
class CandidateRows:
    """What decides between candidates, in columns of equal length, one row each."""

    ids: NDArray[np.uint64]  # [candidates, 2] the 128 bits of the id, the first 64 first
    sizes: NDArray[np.int64]  # bytes of the text in UTF-8

    def __len__(self) -> int:
        return len(self.sizes)

    @staticmethod
    def joined(parts: Sequence["CandidateRows"]) -> "CandidateRows":
        """The rows of all parts, one part after the other."""
        parts = parts or [CandidateRows(np.zeros((0, 2), np.uint64), np.zeros(0, np.int64))]
        columns = ([getattr(part, one.name) for part in parts] for one in fields(CandidateRows))
        return CandidateRows(*map(np.concatenate, columns))

    def save(self, path: Path) -> None:
        np.savez(path, **{one.name: getattr(self, one.name) for one in fields(CandidateRows)})

    @staticmethod
    def load(path: Path) -> "CandidateRows":
        with np.load(path) as found:
            return CandidateRows(*(found[one.name] for one in fields(CandidateRows)))


def best_first(
    sizes: NDArray[np.int64], ids: NDArray[np.uint64], quality: NDArray[np.float32] | None = None
) -> RowNumbers:
    """Row numbers, the best document first: the higher quality, then the longer text, then the smaller id.

    Args:
        sizes: [documents] bytes of the texts.
        ids: [documents, 2] as numbers; equal ids are equal texts, and of these the first row comes first.
        quality: [documents] scores; NaN, where there is none, comes last.
    """
    keys = [ids[:, 1], ids[:, 0], -sizes]
    if quality is not None:
        keys.append(-np.where(np.isnan(quality), -np.inf, quality))
    return np.lexsort(keys)
