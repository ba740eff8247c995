"""C4's removal of lines: those that are no sentences, too short, or say what pages say about themselves.

It goes before the statistics, so that these are measured of what is left. The order in which a line is tried is that of
C4 (Raffel et al. 2020, as the tensorflow_datasets builder has it): too long a word; then, without its citations, no
terminal punctuation, few words, javascript, policies.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters import characters
from groundup.corpus.filters.configuration import LinesConfig
from groundup.corpus.filters.scan import bits_before, code_point, ends_in_ellipsis
from groundup.kernels.arrow import Bytes, Offsets, as_texts, buffers
from groundup.kernels.compilation import helper, kernel

if TYPE_CHECKING:
    import pyarrow as pa

REASONS = ("max_word_length", "terminal_punctuation", "min_words", "javascript", "policies", "citations")
"""The keys of `LinesConfig` by which lines go, in order; the last counts citations, which go alone."""

POLICIES = (
    *("terms of use", "privacy policy", "cookie policy"),
    *("uses cookies", "use of cookies", "use cookies"),
)
_JAVASCRIPT = "javascript"
_CITATIONS = ("[edit]", "[citation needed]")

_SPACE = np.uint8(characters.SPACE)
_ENDS_LINE = np.uint8(characters.TERMINAL | characters.QUOTE)
_NEWLINE, _OPEN, _CLOSE = np.uint8(10), np.uint8(91), np.uint8(93)


def _joined(phrases: tuple[str, ...]) -> tuple[Bytes, Offsets]:
    data = np.frombuffer("".join(phrases).encode(), dtype=np.uint8)
    return data, np.cumsum([0, *map(len, phrases)])


def keep_lines(texts: "pa.Array", config: LinesConfig) -> tuple["pa.Array", dict[str, int]]:
    """The texts without the lines that the configuration takes out; some may be empty then.

    Args:
        texts: [rows] strings or large strings, without nulls.
        config: the section `curate.lines`.

    Returns:
        `(texts, counts)`: texts of the same type, and for each reason that is switched on how many lines it took out.
    """
    reasons = [reason for reason in REASONS if getattr(config, reason) not in (None, False)]
    if not reasons:
        return texts, {}
    data, offsets, counts = _kept(
        *buffers(texts),
        characters.classes(),
        np.int64(config.max_word_length or 0),
        np.int64(config.min_words or 0),
        np.array([config.terminal_punctuation, config.javascript, config.policies, config.citations]),
        *_joined((_JAVASCRIPT, *POLICIES)),
        *_joined(_CITATIONS),
    )
    return as_texts(data, offsets).cast(texts.type), {reason: int(counts[REASONS.index(reason)]) for reason in reasons}


@helper
def _is_there(data: Bytes, at: int, end: int, phrase: Bytes, any_case: bool) -> bool:
    """Whether `phrase` is at `at`; with `any_case` ASCII letters may be large, and it has only small ones."""
    if at + len(phrase) > end:
        return False
    for one in range(len(phrase)):
        byte = data[at + one]
        if any_case and 65 <= byte <= 90:
            byte |= np.uint8(32)
        if byte != phrase[one]:
            return False
    return True


@helper
def _without_citations(
    data: Bytes, start: int, end: int, literals: Bytes, starts: Offsets, out: Bytes, size: int
) -> tuple[int, int]:
    """Copy `data[start:end]` to `out[size:]` without citations; `(end of the copy, citations)`."""
    citations = 0
    at = start
    while at < end:
        if data[at] == _OPEN:
            stop = at + 1
            while stop < end and 48 <= data[stop] <= 57:
                stop += 1
            found = stop + 1 if stop < end and data[stop] == _CLOSE else 0
            for one in range(len(starts) - 1):
                if _is_there(data, at, end, literals[starts[one] : starts[one + 1]], False):
                    found = at + starts[one + 1] - starts[one]
            if found:
                at = found
                citations += 1
                continue
        out[size] = data[at]
        size, at = size + 1, at + 1
    return size, citations


@helper
def _trimmed(data: Bytes, start: int, end: int, table: NDArray[np.uint8]) -> tuple[int, int]:
    """`data[start:end]` without white space at its ends."""
    while start < end:
        code, width = (np.int64(data[start]), 1) if data[start] < 128 else code_point(data, start)
        if not table[code] & _SPACE:
            break
        start += width
    while start < end and bits_before(data, end, table) & _SPACE:
        end -= 1
        while data[end] & 0xC0 == 0x80:
            end -= 1
    return start, end


@helper
def _words(data: Bytes, start: int, end: int, table: NDArray[np.uint8]) -> tuple[int, int]:
    """`(words, characters of the longest)`."""
    words = longest = length = 0
    at = start
    while at < end:
        code, width = (np.int64(data[at]), 1) if data[at] < 128 else code_point(data, at)
        at += width
        if table[code] & _SPACE:
            length = 0
        else:
            words += length == 0
            length += 1
            longest = max(longest, length)
    return words, longest


@helper
def _says(data: Bytes, start: int, end: int, phrases: Bytes, starts: Offsets, first: int, last: int) -> bool:
    """Whether one of the phrases `first` to `last` - 1 is in `data[start:end]`, in large or small letters."""
    for at in range(start, end):
        for one in range(first, last):
            begins = data[at] | 32 == phrases[starts[one]]
            if begins and _is_there(data, at, end, phrases[starts[one] : starts[one + 1]], True):
                return True
    return False


@kernel
def _kept(
    data: Bytes, offsets: Offsets, table: NDArray[np.uint8], max_word_length: np.int64, min_words: np.int64,
    switches: NDArray[np.bool_], phrases: Bytes, starts: Offsets, literals: Bytes, literal_starts: Offsets,
) -> tuple[Bytes, Offsets, NDArray[np.int64]]:  # fmt: skip
    """`(bytes, offsets, counts)` of what is left; 0 for `max_word_length` or `min_words` switches a reason off."""
    texts = len(offsets) - 1
    terminal, javascript, policies, citations = switches[0], switches[1], switches[2], switches[3]
    out = np.empty(offsets[texts] - offsets[0], np.uint8)
    ends, counts = np.zeros(texts + 1, np.int64), np.zeros(6, np.int64)
    size = 0
    for text in range(texts):
        first, blank = size, False
        at, end = offsets[text], offsets[text + 1]
        while at < end:
            stop = at
            while stop < end and data[stop] != _NEWLINE:
                stop += 1
            line, at = at, stop + 1
            begin, finish = _trimmed(data, line, stop, table)
            if begin == finish:
                blank = True
                continue
            if max_word_length and _words(data, begin, finish, table)[1] > max_word_length:
                counts[0] += 1
                continue
            # The line is written where it would be, and looked at there.
            gap = 0 if size == first else 2 if blank else 1
            copy = size + gap
            if citations:
                copied, cited = _without_citations(data, line, finish, literals, literal_starts, out, copy)
            else:
                out[copy : copy + finish - line] = data[line:finish]
                copied, cited = copy + finish - line, 0
            begin, finish = _trimmed(out, copy, copied, table)
            if terminal and (
                begin == finish
                or not bits_before(out, finish, table) & _ENDS_LINE
                or ends_in_ellipsis(out, begin, finish)
            ):
                counts[1] += 1
            elif min_words and _words(out, begin, finish, table)[0] < min_words:
                counts[2] += 1
            elif javascript and _says(out, begin, finish, phrases, starts, 0, 1):
                counts[3] += 1
            elif policies and _says(out, begin, finish, phrases, starts, 1, len(starts) - 1):
                counts[4] += 1
            elif begin < finish:
                out[size:copy] = _NEWLINE
                size, blank = finish, False
                counts[5] += cited
        ends[text + 1] = size
    return out[:size].copy(), ends, counts
