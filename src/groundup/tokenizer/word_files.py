"""Word counts in files, and more words than memory holds.

A file is Parquet with the columns `word` and `count`, sorted by the words' bytes: equal counts give equal files. Tables
of many processes or machines are merged while they are read, a few thousand words of each in memory.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, get_args

import numpy as np

from groundup.errors import GroundupError
from groundup.tokenizer.batches import Texts
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.word_counts import WordCounts, Words

if TYPE_CHECKING:
    pass

ROWS_PER_GROUP = 1 << 16
MAX_WORDS = 1 << 24  # in memory; about 1.5 GB


def count_corpus(
    texts: Iterable[Texts], pattern: PatternName, folder: Path, threads: int = 1, min_count: int = 1
) -> Words:
    """How often each word of a corpus of any size occurs, sorted by the words' bytes.

    Args:
        texts: the corpus in parts.
        folder: where tables are put aside once there are MAX_WORDS words; they are removed again.
        threads: how many count; the outcome is the same.
        min_count: skip words that occur less often in the whole corpus. In memory at the end are the others.
    """
    counts, aside = WordCounts(pattern), list[Path]()
    for some in texts:
        counts.add(some, threads)
        if len(counts) > MAX_WORDS:
            folder.mkdir(parents=True, exist_ok=True)
            aside.append(folder / f"words-{len(aside):05}.parquet")
            save_counts(counts, aside[-1])
            counts = WordCounts(pattern)
    if not aside:
        return counts.rows(min_count)
    aside.append(folder / f"words-{len(aside):05}.parquet")
    save_counts(counts, aside[-1])
    merge_files(aside, folder / "words.parquet", min_count)
    words = Words.joined(list(_Run(folder / "words.parquet").groups))
    for path in (*aside, folder / "words.parquet"):
        path.unlink()
    return words


def save_counts(counts: WordCounts, path: Path) -> None:
    """Write a table; the file appears under its name when it is whole."""
    with _Writer(path, counts.pattern) as writer:
        writer.append(counts.rows())


def load_counts(path: Path) -> WordCounts:
    """Read what `save_counts` or `merge_files` wrote; raises GroundupError for any other file."""
    run = _Run(path)
    counts = WordCounts(run.pattern)
    for words in run.groups:
        counts.add_words(words)
    return counts


def merge_files(paths: Sequence[Path], out: Path, min_count: int = 1) -> None:
    """Add up saved tables into one, in memory for some ten thousand words of each, however large they are.

    Args:
        min_count: skip words that occur less often in all parts together. The outcome is the same however the
            corpus was cut into tables.

    Raises:
        GroundupError: a file can't be read, or its words were cut by another pattern than those of the first.
    """
    runs = [_Run(path) for path in paths]
    pattern = runs[0].pattern
    for run in runs:
        if run.pattern != pattern:
            raise GroundupError(
                f"holds words cut by the pattern {run.pattern}, not {pattern}", where=str(run.path), do="count it again"
            )
    with _Writer(out, pattern) as writer:
        while runs := [run for run in runs if run.more()]:
            # Words up to the least of the runs' last ones are complete: no run has more of them further on.
            bound = min(run.words[-1] for run in runs)
            together = WordCounts(pattern)
            for run in runs:
                together.add_words(run.take(bound))
            writer.append(together.rows(min_count))


class _Run:
    """A saved table, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with self._reading():
            self._file = pq.ParquetFile(path)
        pattern = (self._file.schema_arrow.metadata or {}).get(b"groundup.pattern", b"").decode()
        if pattern not in get_args(PatternName):
            raise GroundupError("holds no word counts", where=str(path), do="name a file that groundup wrote")
        self.pattern: PatternName = pattern
        self.groups = self._groups()
        self.words = Words.of({})

    def more(self) -> bool:
        """Whether words are left; `words` then holds some."""
        if not len(self.words):
            self.words = next(self.groups, self.words)
        return len(self.words) > 0

    def take(self, bound: bytes) -> Words:
        """Those of the words that are not beyond `bound`; `words` holds the rest."""
        end = bisect_right(self.words, bound)
        taken, self.words = self.words.part(0, end), self.words.part(end, len(self.words))
        return taken

    def _groups(self) -> Iterator[Words]:
        import pyarrow as pa

        with self._file:
            for number in range(self._file.num_row_groups):
                with self._reading():
                    group = self._file.read_row_group(number).combine_chunks()
                words = group["word"].chunk(0).cast(pa.large_binary())
                _, bounds, data = words.buffers()
                offsets = np.frombuffer(bounds, dtype=np.int64)[words.offset : words.offset + len(words) + 1]
                text = np.frombuffer(data or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
                yield Words(text, offsets - offsets[0], group["count"].to_numpy())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise GroundupError(
                f"can't be read ({error})", where=str(self.path), do="count the words of this part again"
            ) from error


class _Writer:
    """Writes a table in row groups of a fixed size; a file appears under its name when it is whole."""

    def __init__(self, path: Path, pattern: PatternName) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._path, self._partial = path, path.with_name(path.name + ".partial")
        fields = [pa.field("word", pa.large_binary(), False), pa.field("count", pa.int64(), False)]
        self._schema = pa.schema(fields, metadata={"groundup.pattern": pattern})
        self._file = pq.ParquetWriter(
            self._partial, self._schema, compression="zstd", compression_level=3, version="2.6", use_dictionary=False
        )
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> "_Writer":
        return self

    def append(self, words: Words) -> None:
        """Write words that come after all before."""
        import pyarrow as pa

        column = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(words), [None, pa.py_buffer(words.offsets), pa.py_buffer(words.text)]
        )
        self._waiting.append(pa.table([column, words.counts], schema=self._schema))
        self._write(min_rows=ROWS_PER_GROUP)

    def _write(self, min_rows: int) -> None:
        import pyarrow as pa

        if sum(map(len, self._waiting)) < max(1, min_rows):
            return
        rows = pa.concat_tables(self._waiting)
        whole = len(rows) if min_rows == 0 else len(rows) // ROWS_PER_GROUP * ROWS_PER_GROUP
        self._file.write_table(rows.slice(0, whole), row_group_size=ROWS_PER_GROUP)
        self._waiting = [rows.slice(whole)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write(min_rows=0)
        self._file.close()
        if error is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()
