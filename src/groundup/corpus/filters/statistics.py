"""What is measured of each document before any rule looks at it: some thirty figures, a row for each text.

The definitions follow Gopher, C4, FineWeb and Codex; docs/filters.md states each, and where it differs.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.characters import classes
from groundup.corpus.filters.columns import CODE_STATISTICS, COUNTS, OF_PROSE, PROSE, STATISTICS
from groundup.corpus.filters.prose import Prose
from groundup.corpus.filters.repetition import LEAST_WORDS, repeated_lines, sequences
from groundup.corpus.filters.scan import scan
from groundup.kernels.arrow import Bytes, Offsets, buffers
from groundup.kernels.compilation import kernel

if TYPE_CHECKING:
    import pyarrow as pa


MIN_PROSE_WORDS = 50
"""Where a text is not all prose and has fewer words of it, nothing is said about its prose."""


def statistics_schema() -> "pa.Schema":
    """The columns of `measure_all`, in its order: counts of the whole text are int64, the others float64."""
    import pyarrow as pa

    own = [(name, pa.float64()) for name in (*CODE_STATISTICS, f"{PROSE}words", *(PROSE + one for one in OF_PROSE))]
    return pa.schema([*_whole_schema(), *own])


def _whole_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([(name, pa.int64() if name in COUNTS else pa.float64()) for name in STATISTICS])


def measure_all(texts: "pa.Array", prose: Prose) -> "pa.RecordBatch":
    """The statistics of clean texts, of what in them is not prose, and of their prose.

    Args:
        texts: [rows] strings or large strings, without nulls.
        prose: `prose_of(texts)`.

    Returns:
        [rows] of `statistics_schema()`. `prose_words` is null where all of the text is prose; the other statistics of
        prose are also null where it has fewer than MIN_PROSE_WORDS words, and those of code where there is none. What
        is null breaks no rule.
    """
    import pyarrow as pa

    partly = np.flatnonzero(~prose.whole)
    of_prose = measure(prose.texts.take(pa.array(partly)))
    few = of_prose.column("words").to_numpy() < MIN_PROSE_WORDS
    columns = [*measure(texts).columns, *(pa.array(one, mask=np.isnan(one)) for one in prose.code)]
    for name in ("words", *OF_PROSE):
        values, unknown = np.zeros(len(texts)), prose.whole.copy()
        found = of_prose.column(name)
        values[partly] = found.to_numpy(zero_copy_only=False)
        if name != "words":
            unknown[partly] |= few | np.asarray(found.is_null())
        columns.append(pa.array(values, mask=unknown))
    return pa.RecordBatch.from_arrays(columns, schema=statistics_schema())


def measure(texts: "pa.Array") -> "pa.RecordBatch":
    """The statistics of clean texts.

    Args:
        texts: [rows] strings or large strings, without nulls; lines end in a newline and nothing else.

    Returns:
        [rows] of STATISTICS. Fractions and ratios are 0 where there is nothing to divide by;
        the mean length of words is null where most of them are single letters of a script without spaces.
    """
    import pyarrow as pa

    data, offsets = buffers(texts)
    table = _measured(data, offsets, classes())
    schema = _whole_schema()
    columns = [pa.array(row, mask=np.isnan(row)).cast(one.type) for row, one in zip(table, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@kernel
def _measured(data: Bytes, offsets: Offsets, table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[statistics, texts]"""
    texts = len(offsets) - 1
    largest = 0
    for text in range(texts):
        largest = max(largest, offsets[text + 1] - offsets[text])
    # Every word, and every line, but for the last is followed by white space: there are at most half as many as bytes.
    most = largest // 2 + 2
    words, pairs = np.empty(most, np.uint64), np.empty(most, np.uint64)
    lines, paragraphs = np.empty(most, np.uint64), np.empty(most, np.uint64)
    lengths, line_lengths = np.empty(most, np.int64), np.empty(most, np.int64)
    paragraph_lengths = np.empty(most, np.int64)
    found, times = np.empty(most, np.int32), np.empty(most, np.int32)
    first, positions = np.empty(most, np.int32), np.empty(most, np.int32)
    slots = 16
    while slots < 2 * most:
        slots *= 2
    keys, numbers = np.empty(slots, np.uint64), np.empty(slots, np.int32)
    rows = np.zeros((texts, len(STATISTICS)))
    for text in range(texts):
        row = rows[text]
        word_count, line_count, paragraph_count = scan(
            data, offsets[text], offsets[text + 1], table,
            words, lengths, lines, line_lengths, paragraphs, paragraph_lengths, row,
        )  # fmt: skip
        if word_count:
            repeated_lines(
                lines, line_lengths, line_count, paragraphs, paragraph_lengths, paragraph_count,
                lengths[word_count], keys, row,
            )  # fmt: skip
        if word_count >= LEAST_WORDS:
            sequences(words, lengths, word_count, keys, numbers, pairs, found, times, first, positions, row)
    return np.ascontiguousarray(rows.T)
