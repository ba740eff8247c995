r"""The prose of a text: its lines without code, tables, front matter and lines of markup; and figures of what is not.

Documentation is full of code, and a rule that was made for articles takes its braces, fences and table rules for
repetition and noise. So rules may be measured on the prose alone (`rules: {measured_on: prose}`). A line is not prose
if it is in

    front matter     between `---` or `+++` on the first line and the next such line
    fenced code      between ``` or ~~~ and a fence of the same kind, at least as long, and these lines (CommonMark)
    an element       from a line that begins with <pre>, <script>, <style>, <table>, <svg>, ... to its end
    a formula        between `$$`, `\[` or `\begin{equation}` and its end, without a blank line (`formulas.py`)
    indented code    four columns or more, after a blank line and no list, or after `::`; of signs as code has them
    a session        from `>>> ` or `$ ` to the next blank line
    a table          begins with `|`, or with `+-` and `+=`; or has `|` after a row of dashes
    markup           nothing but tags, template marks (`{{...}}`, `{%...%}`), or signs that underline and separate

All of these also in quotes, after `>`. The marks of headings (`##`) and quotes are not prose either; their words are.
An element or formula without an end is none. A fence without one opens code to the end of the text (CommonMark), but
was often forgotten, or is a stray sign: after it, the lines up to each blank one are code if they have signs as code
does, and are measured as prose otherwise. Where all is prose, the text itself is measured.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.blocks import (
    BEGINS,
    CODE,
    COLON,
    DASH,
    ELEMENTS,
    EQUAL,
    HASH,
    MARKUP,
    MAX_FENCE,
    NEWLINE,
    PIPE,
    PLUS,
    PROSE,
    SPACE,
    TABLE,
    after_item,
    begins_session,
    content,
    element_at,
    element_end,
    element_kind,
    fence_end,
    front_matter_end,
    indented_block,
    is_markup,
    last_sign,
    line_end,
    open_block,
    opens_fence,
)
from groundup.corpus.filters.columns import CODE_STATISTICS
from groundup.corpus.filters.formulas import FORMULAS, formula_at, formula_end
from groundup.kernels.arrow import Bytes, Offsets, as_texts, buffers
from groundup.kernels.compilation import Integer, helper, kernel

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Prose:
    """What is prose in some texts."""

    texts: "pa.Array"
    """[rows] large strings: the prose of each."""
    whole: NDArray[np.bool_]
    """[rows] whether all of the text is prose."""
    empty: NDArray[np.bool_]
    """[rows] whether nothing of the text is prose."""
    code: NDArray[np.float64]
    """[CODE_STATISTICS, rows]"""

    def or_text(self, texts: "pa.Array") -> "pa.Array":
        """[rows] the prose of each text, or the text itself where it has none, as `texts` has its type."""
        if (self.whole | self.empty).all():
            return texts
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.if_else(pa.array(self.empty), texts, self.texts.cast(texts.type))


def prose_of(texts: "pa.Array") -> Prose:
    """The prose of each text.

    Args:
        texts: [rows] strings or large strings, without nulls.
    """
    data, offsets = buffers(texts)
    found, ends, whole, empty, code = _separate(data, offsets)
    return Prose(as_texts(found, ends), whole, empty, code)


# ---- compiled ----


@helper
def _count(data: Bytes, start: Integer, end: Integer, counts: Offsets) -> None:
    """Add the characters of `data[start:end]` to `counts`: all, letters and digits, those of the longest line."""
    line = 0
    for at in range(start, end):
        byte = data[at]
        if byte == NEWLINE:
            counts[2] = max(counts[2], line)
            line = 0
        elif byte & 0xC0 != 0x80:
            line += 1
            if byte > 32:
                counts[0] += 1
                lower = byte | np.uint8(32)
                counts[1] += byte >= 128 or 48 <= byte <= 57 or 97 <= lower <= 122
    counts[2] = max(counts[2], line)


@helper
def _characters(data: Bytes, start: Integer, end: Integer) -> Integer:
    """How many characters of `data[start:end]` are no white space."""
    found = 0
    for at in range(start, end):
        found += (data[at] > 32) & (data[at] & 0xC0 != 0x80)
    return found


@helper
def _copy(data: Bytes, start: Integer, end: Integer, out: Bytes, size: Integer) -> tuple[Integer, bool]:
    """`(size of what was written to `out` then, whether anything but white space is in it)`."""
    seen = False
    for at in range(start, end):
        out[size + at - start] = data[at]
        seen |= data[at] > 32
    return size + max(0, end - start), seen


@kernel
def _separate(
    data: Bytes, offsets: Offsets
) -> tuple[Bytes, Offsets, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    """`(prose, where each ends, which are all prose, which have none, figures of code)`."""
    texts = len(offsets) - 1
    out = np.empty(offsets[texts] - offsets[0], dtype=np.uint8)
    ends = np.zeros(texts + 1, dtype=np.int64)
    whole, empty = np.ones(texts, dtype=np.bool_), np.ones(texts, dtype=np.bool_)
    figures = np.zeros((len(CODE_STATISTICS), texts))
    counts = np.zeros((4, 3), dtype=np.int64)
    no_fence = np.empty(256, dtype=np.int64)  # by sign: a fence of so many or more has no end in the rest of the text
    no_element = np.empty(ELEMENTS, dtype=np.bool_)  # has no end in the rest of the text
    no_formula = np.empty(FORMULAS, dtype=np.int64)  # of this kind, up to here
    for text in range(texts):
        start, end, size = offsets[text], offsets[text + 1], ends[text]
        counts[:] = 0
        no_fence[:] = MAX_FENCE + 1
        no_element[:] = False
        no_formula[:] = start
        after_blank, in_list, literal, in_table, in_session, is_open = True, False, False, False, False, False
        at = judged = start  # what may be code was looked at up to `judged`
        if start < end:
            at = front_matter_end(data, start, end)
            if at > start:
                whole[text] = False
                at = min(at + 1, end)
        run = at  # where the prose begins that is not copied yet
        while at < end:
            stop = line_end(data, at, end)
            if not BEGINS[data[at]] and not (in_table or in_session or is_open):  # nearly all lines of most texts
                finish = last_sign(data, at, stop)
                literal = finish - at > 1 and data[finish - 1] == COLON and data[finish - 2] == COLON
                after_blank, in_list = False, False
                at = stop + 1
                continue
            first, column, quoted = content(data, at, stop)
            if first == stop:  # blank
                after_blank, in_table, in_session = True, False, False
                if quoted:
                    whole[text] = False
                    size, seen = _copy(data, run, at, out, size)
                    empty[text] = empty[text] and not seen
                    run = stop
                at = stop + 1
                continue
            kind, last = PROSE, stop
            opening = after_item(data, first, stop)
            is_item = opening > first
            fence = opens_fence(data, opening, stop)
            element, formula = element_at(data, first, stop), formula_at(data, first, stop)
            if fence and (quoted or fence < no_fence[data[opening]]):
                kind, last = CODE, fence_end(data, stop + 1, end, data[opening], fence, quoted)
                if last < 0:
                    no_fence[data[opening]] = fence
                    is_open, last = True, stop
            elif fence:
                kind = CODE
            elif element >= 0 and not no_element[element]:
                closed = element_end(data, first, end, element)
                no_element[element] = closed < 0
                if closed >= 0:
                    kind, last = element_kind(element), closed
            elif formula >= 0 and first >= no_formula[formula]:
                closed, looked = formula_end(data, first, end, formula)
                if closed >= 0:
                    kind, last = MARKUP, closed
                else:
                    no_formula[formula] = looked
            elif at >= judged and after_blank:
                if column > 0 if literal else column >= 4 and not in_list:
                    judged, is_code = indented_block(data, at, end, literal, quoted)
                    if is_code:
                        kind, last = CODE, judged
                elif is_open:
                    judged, is_code = open_block(data, at, end)
                    if is_code:
                        kind, last = CODE, judged
            if kind == PROSE:
                finish = last_sign(data, first, stop)
                piped = False
                for one in range(first, finish):
                    piped |= data[one] == PIPE
                begins_grid = finish - first > 1 and data[first] == PLUS and (
                    data[first + 1] == DASH or data[first + 1] == EQUAL
                )  # fmt: skip
                if in_session or begins_session(data, first, stop):
                    kind, in_session = CODE, True
                elif data[first] == PIPE or begins_grid or (in_table and piped):
                    kind = TABLE
                elif is_markup(data, first, finish):
                    kind, in_table = (TABLE, True) if piped else (MARKUP, False)
                if kind == PROSE:
                    in_list = is_item or (in_list and column > 0)
                    literal = finish - first > 1 and data[finish - 1] == COLON and data[finish - 2] == COLON
            if kind == CODE and last > stop:
                in_list, literal = False, False
            begin = first if quoted else at
            if kind == PROSE and data[first] == HASH:
                mark = first
                while mark < stop and data[mark] == HASH:
                    mark += 1
                if mark - first <= 6 and mark < stop and data[mark] == SPACE:
                    begin = mark
            if kind != PROSE or begin > at:
                whole[text] = False
                size, seen = _copy(data, run, at, out, size)
                empty[text] = empty[text] and not seen
                run = begin if kind == PROSE else min(last + 1, end)
            if kind in (CODE, TABLE):
                _count(data, at, last, counts[kind])
            after_blank = kind == CODE
            at = last + 1
        size, seen = _copy(data, run, end, out, size)
        empty[text] = empty[text] and not seen
        ends[text + 1] = size
        figures[3, text] = np.nan  # where there is no code
        if counts[CODE, 0] or counts[TABLE, 0]:
            total = _characters(data, start, end)
            figures[0, text] = counts[CODE, 0] / total
            figures[1, text] = counts[TABLE, 0] / total
            figures[2, text] = counts[CODE, 2]
            if counts[CODE, 0]:
                figures[3, text] = counts[CODE, 1] / counts[CODE, 0]
    return out[: ends[texts]].copy(), ends, whole, empty, figures
