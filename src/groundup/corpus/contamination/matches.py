"""Where items of evaluation sets occur in documents."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Offsets


@dataclass(frozen=True, slots=True)
class Matches:
    """Stretches of documents that occur in an item too, by rising row; n-grams that overlap are one stretch.

    A stretch that occurs in several items is listed for each.
    """

    rows: Offsets  # [matches] of the batch
    items: NDArray[np.int32]
    kinds: NDArray[np.uint8]  # TEXT or ANSWER: of the item, what is there
    whole: NDArray[np.bool_]  # all of it is there; else an n-gram or more
    answered: NDArray[np.bool_]  # an answer of the item that is too short to be looked for occurs in the document too
    first: Offsets  # word of the document's normal form
    last: Offsets  # after the last word

    def __len__(self) -> int:
        return len(self.rows)


def stretches(
    rows: Offsets, texts: NDArray[np.int32], words: Offsets, sizes: NDArray[np.int32]
) -> tuple[NDArray[np.int64], Offsets, Offsets]:
    """`(hits that begin a stretch, first word, after the last word)` of hits, which may come in any order.

    Args:
        rows: [hits] the documents.
        texts: [hits] the items' texts.
        words: [hits] where each begins.
        sizes: [hits] words in it.
    """
    order = np.lexsort((words, texts, rows))
    rows, texts, words = rows[order], texts[order], words[order]
    ends = words + sizes[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (rows[1:] != rows[:-1]) | (texts[1:] != texts[:-1]) | (words[1:] > ends[:-1])
    at = np.flatnonzero(begins)
    return order[at], words[at], ends[np.append(at[1:], len(order)) - 1] if len(at) else ends
