"""The lines or paragraphs of documents, as hashes of their normal form, and documents without some of them.

Paragraphs are what blank lines separate. Digits count: "Page 3" is another line than "Page 4".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.configuration import RepeatedUnits, Unit
from groundup.corpus.duplicates.minhash import PADDING, Words, hash_words
from groundup.corpus.duplicates.normal_form import MOST_GROWTH, FormTable, table, write_form
from groundup.kernels.arrow import Bytes, Offsets, buffers, longest_text
from groundup.kernels.compilation import Integer, helper, kernel
from groundup.kernels.hashing import GOLDEN, folded

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Units:
    """The lines or paragraphs of some documents, of enough words; each document has each once."""

    hashes: Words  # rising
    documents: NDArray[np.uint32]  # number of the document in its partition


def units_of(texts: "pa.Array", unit: Unit, config: RepeatedUnits, first: int = 0) -> Units:
    """The lines or paragraphs of documents.

    Args:
        texts: strings without nulls, numbered from `first` in their partition.
        unit: what is counted.
        config: how many words make one count.
        first: the number of the first text.
    """
    data, offsets = buffers(texts)
    hashes, documents = find_units(data, offsets, table(False), unit == "paragraph", config.least_words)
    by_hash = np.lexsort((documents, hashes))
    hashes, documents = hashes[by_hash], documents[by_hash]
    fresh = np.ones(len(hashes), dtype=bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
    return Units(hashes[fresh], (documents[fresh] + first).astype(np.uint32))


# ---- compiled ----

_NEWLINE, _SPACE, _RETURN, _TAB = np.uint8(10), np.uint8(32), np.uint8(13), np.uint8(9)
_PRIME = np.uint64(0xC2B2AE3D27D4EB4F)


@helper
def _line_end(data: Bytes, start: int, end: int) -> Integer:
    """Where the line that starts at `start` ends, without its newline."""
    while start < end and data[start] != _NEWLINE:
        start += 1
    return start


@helper
def _is_blank(data: Bytes, start: int, end: int) -> bool:
    while start < end and (data[start] == _SPACE or data[start] == _TAB or data[start] == _RETURN):
        start += 1
    return start == end


@helper
def _unit_end(data: Bytes, start: int, end: int, paragraphs: bool) -> Integer:
    """Where the line, or the paragraph, that starts at `start` ends: before its last newline. Blank lines are alone."""
    last = _line_end(data, start, end)
    if not paragraphs or _is_blank(data, start, last):
        return last
    while last < end:
        following = _line_end(data, last + 1, end)
        if _is_blank(data, last + 1, following):
            break
        last = following
    return last


@helper
def _hash_unit(
    data: Bytes, start: int, end: int, forms: FormTable, form: Bytes, words: Words
) -> tuple[Integer, Integer]:
    """`(words, hash of their normal form)`"""
    count = hash_words(form, write_form(data, start, end, forms, form), words)
    hashed = GOLDEN
    for word in range(count):
        hashed = folded((hashed ^ words[word]) * _PRIME)
    return count, hashed


@kernel
def find_units(
    data: Bytes, offsets: Offsets, forms: FormTable, paragraphs: bool, least_words: int
) -> tuple[Words, Offsets]:
    """`(hash, document)` of every unit of enough words, in their order."""
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    most = 0
    for one in range(len(offsets) - 1):
        most += 1
        for at in range(offsets[one], offsets[one + 1]):
            most += data[at] == _NEWLINE
    hashes, documents = np.empty(most, dtype=np.uint64), np.empty(most, dtype=np.int64)
    found = 0
    for one in range(len(offsets) - 1):
        start, end = offsets[one], offsets[one + 1]
        while start < end:
            last = _unit_end(data, start, end, paragraphs)
            count, hashed = _hash_unit(data, start, last, forms, form, words)
            if count >= least_words:
                hashes[found], documents[found] = hashed, one
                found += 1
            start = last + 1
    return hashes[:found].copy(), documents[:found].copy()


@kernel
def without(
    data: Bytes, offsets: Offsets, forms: FormTable, paragraphs: bool, least_words: int, goes: NDArray[np.bool_]
) -> tuple[Bytes, Offsets, Offsets, Offsets, Offsets]:
    """`(texts without the units that go, their ends, units removed, their bytes, words left)`."""
    texts = len(offsets) - 1
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    out = np.empty(offsets[texts] - offsets[0] + texts, dtype=np.uint8)
    ends = np.zeros(texts + 1, dtype=np.int64)
    units, sizes, left = np.zeros(texts, np.int64), np.zeros(texts, np.int64), np.zeros(texts, np.int64)
    unit = 0
    for one in range(texts):
        start, end, at = offsets[one], offsets[one + 1], ends[one]
        at_gap, after_blank = False, True  # something went since the last words; the last line written is blank
        while start < end:
            last = _unit_end(data, start, end, paragraphs)
            count, _ = _hash_unit(data, start, last, forms, form, words)
            gone = False
            if count >= least_words:
                gone = goes[unit]
                unit += 1
            blank = _is_blank(data, start, last)
            if gone:
                units[one] += 1
                sizes[one] += last - start
                at_gap = True
            elif not (blank and at_gap and after_blank):  # no two blank lines where something went between them
                left[one] += count
                for position in range(start, min(last + 1, end)):
                    out[at] = data[position]
                    at += 1
                at_gap, after_blank = at_gap and blank, blank
            start = last + 1
        if units[one]:
            while at > ends[one] and (out[at - 1] == _NEWLINE or out[at - 1] == _SPACE):
                at -= 1
        ends[one + 1] = at
    return out[: ends[texts]].copy(), ends, units, sizes, left
