"""What is measured of each document before any rule looks at it: some thirty figures, a row for each text.

The definitions follow Gopher, C4, FineWeb and Codex; docs/filters.md states each, and where it differs.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.characters import classes
from groundup.corpus.filters.columns import COUNTS, STATISTICS
from groundup.corpus.filters.repetition import LEAST_WORDS, repeated_lines, sequences
from groundup.corpus.filters.scan import scan
from groundup.kernels.arrow import Bytes, Offsets, buffers
from groundup.kernels.compilation import kernel

if TYPE_CHECKING:
    import pyarrow as pa


def statistics_schema() -> "pa.Schema":
    """The columns of `measure`, in its order: counts are int64, the others float64."""
    import pyarrow as pa

    return pa.schema([(name, pa.int64() if name in COUNTS else pa.float64()) for name in STATISTICS])


def measure(texts: "pa.Array") -> "pa.RecordBatch":
    """The statistics of clean texts.

    Args:
        texts: [rows] strings or large strings, without nulls; lines end in a newline and nothing else.

    Returns:
        [rows] of `statistics_schema()`. Fractions and ratios are 0 where there is nothing to divide by.
    """
    import pyarrow as pa

    data, offsets = buffers(texts)
    table = _measured(data, offsets, classes())
    schema = statistics_schema()
    columns = [pa.array(table[number]).cast(one.type) for number, one in enumerate(schema)]
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
