"""How often each word occurs in a corpus: all that training of a tokenizer needs of it.

Tables of parts of a corpus add up to the table of the whole, to the last count and byte, however it was cut. So many
processes or machines can count and one can merge:

    counts = WordCounts("qwen2")
    counts.add(texts)                              # again and again, batch by batch
    save_counts(counts, Path("part-3.parquet"))    # `word_files.py`
    merge_files(parts, Path("words.parquet"))

Memory depends on the number of distinct words (50 to 100 bytes each), not on the size of the corpus.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.tokenizer.batches import Batch, Texts, batch_of, batches, padded, read_only
from groundup.tokenizer.characters import character_classes
from groundup.tokenizer.pretokenizer import NUMBERED, PADDING, PatternName
from groundup.tokenizer.word_table import (
    WORDS,
    count_texts,
    doubled,
    empty_table,
    room_for_words,
    rows_of,
    with_room,
    with_rows,
    with_table,
)


@dataclass(frozen=True)
class Words:
    """Words and their counts."""

    text: NDArray[np.uint8]  # the bytes of all words, one after the other
    offsets: NDArray[np.int64]  # (words + 1,): where each begins, and where the last ends
    counts: NDArray[np.int64]  # (words,)

    def __post_init__(self) -> None:
        for name in ("text", "offsets", "counts"):
            object.__setattr__(self, name, read_only(getattr(self, name).view()))

    @classmethod
    def of(cls, words: "WordCounts | Words | Mapping[str, int] | Mapping[bytes, int]") -> "Words":
        """From whatever holds words and counts."""
        if isinstance(words, Words):
            return words
        if isinstance(words, WordCounts):
            return words.rows(in_order=False)
        spelled = [word.encode() if isinstance(word, str) else word for word in words]
        text, offsets = batch_of(spelled)
        return cls(text[:-PADDING], offsets, np.fromiter(words.values(), dtype=np.int64, count=len(spelled)))

    @classmethod
    def joined(cls, parts: "Sequence[Words]") -> "Words":
        """The words of all parts, one part after the other."""
        lengths = [np.diff(part.offsets) for part in parts]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), *lengths]).cumsum()
        text = np.concatenate([np.empty(0, dtype=np.uint8), *(part.text for part in parts)])
        return cls(text, offsets, np.concatenate([np.empty(0, dtype=np.int64), *(part.counts for part in parts)]))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, row: int) -> bytes:
        row = range(len(self))[row]
        return self.text[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def part(self, first: int, end: int) -> "Words":
        """The words from row `first` on, up to `end`."""
        offsets = self.offsets[first : end + 1]
        return Words(self.text[offsets[0] : offsets[-1]], offsets - offsets[0], self.counts[first:end])

    def spelled(self) -> Iterator[bytes]:
        """Each word's bytes."""
        text, bounds = self.text.tobytes(), self.offsets.tolist()
        return (text[start:end] for start, end in pairwise(bounds))


class WordCounts:
    """A table of words and their counts, exact to the byte; counts are 64-bit.

    Args:
        pattern: the pre-tokenizer's pattern that cuts the words.
    """

    def __init__(self, pattern: PatternName) -> None:
        self.pattern: PatternName = pattern
        self._table, self._room = empty_table(), room_for_words()

    def __len__(self) -> int:
        """How many distinct words there are."""
        return int(self._table.size[WORDS])

    @property
    def total(self) -> int:
        """How many words have been counted."""
        return int(self._table.counts.sum())

    def add(self, texts: Texts, threads: int = 1) -> None:
        """Count the words of texts, in several threads if asked; the outcome is the same.

        Bytes may be any; those that are no UTF-8 count as characters that are neither letter nor number.
        """
        waiting, lock = batches(texts), Lock()

        def work(table: WordCounts) -> None:
            while True:
                with lock:
                    batch = next(waiting, None)
                if batch is None:
                    return
                table._count(batch)

        others = [WordCounts(self.pattern) for _ in range(threads - 1)]
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work, table) for table in (self, *others)]:
                done.result()
        for other in others:
            self.merge(other)

    def merge(self, other: "WordCounts") -> None:
        """Add the counts of another part of the corpus.

        Raises:
            GroundupError: its words were cut by another pattern.
        """
        if other.pattern != self.pattern:
            raise GroundupError(f"words cut by the pattern {other.pattern} can't be added to those of {self.pattern}")
        self._table = with_table(self._table, other._table)

    def add_words(self, words: Words) -> None:
        """Count each word as often as `words` says."""
        self._table = with_rows(self._table, *padded(words.text, words.offsets), words.counts)

    def rows(self, min_count: int = 1, in_order: bool = True) -> Words:
        """The words that occur `min_count` times or more, sorted by their bytes (or in no order, which is faster)."""
        return Words(*rows_of(self._table, min_count, in_order))

    def _count(self, batch: Batch) -> None:
        self._table = with_room(self._table, int(batch.offsets[-1] - batch.offsets[0]))
        document, start = 0, int(batch.offsets[0])
        pattern, classes = NUMBERED[self.pattern], character_classes()
        while document < len(batch.offsets) - 1:
            document, start = count_texts(
                batch.text, batch.offsets, document, start, self._table, pattern, classes, self._room
            )
            if document < len(batch.offsets) - 1:
                self._table = doubled(self._table)


def count_words(texts: Texts, pattern: PatternName, threads: int = 1) -> WordCounts:
    """How often each word occurs in `texts`."""
    counts = WordCounts(pattern)
    counts.add(texts, threads)
    return counts
