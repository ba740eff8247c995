"""The prose of a text: its lines without code, tables, front matter and lines of markup; and figures of what is not.

Documentation is full of code, and a rule that was made for articles takes its braces, fences and table rules for
repetition and noise. So rules may be measured on the prose alone (`rules: {measured_on: prose}`). A line is not prose
if it is in

    front matter     between `---` or `+++` on the first line and the next such line
    fenced code      between ``` or ~~~ and a fence of the same kind, at least as long, and these lines (CommonMark)
    <pre>            from a line that begins with <pre>, <script>, <style> or <syntaxhighlight> to its end
    indented code    four columns or more, after a blank line and no list, or after `::`; of signs as code has them
    a session        from `>>> ` or `$ ` to the next blank line
    a table          begins with `|`, or with `+-` and `+=`; or has `|` after a row of dashes
    markup           nothing but tags, template marks (`{{...}}`, `{%...%}`), or signs that underline and separate

The marks of headings (`##`) are not prose either; their words are. A fence or element without an end is none. Where all
is prose, the text itself is measured.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters.columns import CODE_STATISTICS
from groundup.kernels.arrow import Bytes, Offsets, as_texts, buffers
from groundup.kernels.compilation import Integer, helper, kernel

if TYPE_CHECKING:
    import pyarrow as pa

FRONT_MATTER_LINES = 200  # after which `---` is a rule between paragraphs
_MAX_FENCE = 8  # longer fences count as so long
_CODE_SIGNS = 0.08  # fraction of signs from which indented text is code
_PROSE, _CODE, _TABLE, _MARKUP = range(4)

_NEWLINE, _SPACE, _TAB, _RETURN = np.uint8(10), np.uint8(32), np.uint8(9), np.uint8(13)
_LESS, _MORE, _SLASH, _HASH, _PIPE = np.uint8(60), np.uint8(62), np.uint8(47), np.uint8(35), np.uint8(124)
_BACKTICK, _TILDE, _DASH, _PLUS, _EQUAL = np.uint8(96), np.uint8(126), np.uint8(45), np.uint8(43), np.uint8(61)
_COLON, _DOT, _DOLLAR, _OPEN, _CLOSE, _PERCENT = (np.uint8(ord(sign)) for sign in ":.${}%")


def _set_of(characters: str) -> NDArray[np.bool_]:
    found = np.zeros(256, dtype=np.bool_)
    found[[ord(one) for one in characters]] = True
    return found


_IN_CODE = _set_of("{}=<>[]_();/\\|&$#@*+%^~0123456789")
_SEPARATES = _set_of("-=_*~^+|: \t\r")
_ELEMENTS = np.frombuffer(b"pre script style syntaxhighlight ", dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Prose:
    """What is prose in some texts."""

    texts: "pa.Array"
    """[rows] large strings: the prose of each."""
    whole: NDArray[np.bool_]
    """[rows] whether all of the text is prose."""
    code: NDArray[np.float64]
    """[CODE_STATISTICS, rows]"""

    def or_text(self, texts: "pa.Array") -> "pa.Array":
        """[rows] the prose of each text, or the text itself where it has none, as `texts` has its type."""
        import pyarrow as pa
        import pyarrow.compute as pc

        has_prose = pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(self.texts)), 0)
        return pc.if_else(has_prose, self.texts.cast(texts.type), texts) if len(texts) else pa.array([], texts.type)


def prose_of(texts: "pa.Array") -> Prose:
    """The prose of each text.

    Args:
        texts: [rows] strings or large strings, without nulls.
    """
    data, offsets = buffers(texts)
    found, ends, whole, code = _separate(data, offsets)
    return Prose(as_texts(found, ends), whole, code)


# ---- compiled ----


@helper
def _line_end(data: Bytes, at: Integer, end: Integer) -> Integer:
    while at < end and data[at] != _NEWLINE:
        at += 1
    return at


@helper
def _first_sign(data: Bytes, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """`(index of the first character that is no space, its column)`; a tab reaches to the next multiple of four."""
    column = 0
    while at < end and (data[at] == _SPACE or data[at] == _TAB or data[at] == _RETURN):
        column = column // 4 * 4 + 4 if data[at] == _TAB else column + 1
        at += 1
    return at, column


@helper
def _last_sign(data: Bytes, at: Integer, end: Integer) -> Integer:
    """After the last character that is no space."""
    while end > at and (data[end - 1] == _SPACE or data[end - 1] == _TAB or data[end - 1] == _RETURN):
        end -= 1
    return end


@helper
def _fence(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The length of the fence that begins here; 0 for none."""
    if at == end or (data[at] != _BACKTICK and data[at] != _TILDE):
        return 0
    length = 0
    while at + length < end and data[at + length] == data[at]:
        length += 1
    return min(length, _MAX_FENCE) if length >= 3 else 0


@helper
def _fence_end(data: Bytes, at: Integer, end: Integer, sign: Integer, length: Integer) -> Integer:
    """The end of the line that closes a fence; -1 where there is none."""
    while at < end:
        stop = _line_end(data, at, end)
        first, _ = _first_sign(data, at, stop)
        if first < stop and data[first] == sign and _fence(data, first, stop) >= length:
            rest = first
            while rest < stop and data[rest] == sign:
                rest += 1
            if _first_sign(data, rest, stop)[0] == stop:
                return stop
        at = stop + 1
    return -1


@helper
def _element(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The number of the element of code that begins here, as its name's index in _ELEMENTS; -1 for none."""
    if at + 4 > end or data[at] != _LESS:
        return -1
    start = 0
    while start < _ELEMENTS.size:
        size = 0
        while _ELEMENTS[start + size] != _SPACE:
            size += 1
        same = at + 1 + size < end
        for one in range(size):
            same = same and data[at + 1 + one] | np.uint8(32) == _ELEMENTS[start + one]
        if same and (data[at + 1 + size] == _MORE or data[at + 1 + size] == _SPACE):
            return start
        start += size + 1
    return -1


@helper
def _element_end(data: Bytes, at: Integer, end: Integer, name: Integer) -> Integer:
    """The end of the line with the end of an element; -1 where there is none."""
    size = 0
    while _ELEMENTS[name + size] != _SPACE:
        size += 1
    while at + size + 2 < end:
        if data[at] == _LESS and data[at + 1] == _SLASH:
            same = True
            for one in range(size):
                same = same and data[at + 2 + one] | np.uint8(32) == _ELEMENTS[name + one]
            if same and data[at + 2 + size] == _MORE:
                return _line_end(data, at, end)
        at += 1
    return -1


@helper
def _front_matter_end(data: Bytes, start: Integer, end: Integer) -> Integer:
    """The end of the line that closes front matter; `start` where there is none."""
    stop = _line_end(data, start, end)
    sign = data[start]
    if (sign != _DASH and sign != _PLUS) or _last_sign(data, start, stop) - start != 3:
        return start
    if data[start + 1] != sign or data[start + 2] != sign:
        return start
    at = stop + 1
    for _ in range(FRONT_MATTER_LINES):
        if at >= end:
            return start
        stop = _line_end(data, at, end)
        if _last_sign(data, at, stop) - at == 3 and data[at] == sign and data[at + 1] == sign and data[at + 2] == sign:
            return stop
        at = stop + 1
    return start


@helper
def _is_markup(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether a line, without spaces at its ends, is tags, template marks or separating signs alone."""
    if end - at >= 4 and data[at] == _OPEN and data[end - 1] == _CLOSE:
        second, last = data[at + 1], data[end - 2]
        if (second == _OPEN and last == _CLOSE) or (second == _PERCENT and last == _PERCENT):
            return True
    separates = end - at >= 3
    for one in range(at, end):
        separates = separates and _SEPARATES[data[one]]
    if separates:
        return True
    if data[at] != _LESS:
        return False
    inside = False
    for one in range(at, end):
        if not inside and data[one] == _LESS:
            following = data[one + 1] | np.uint8(32) if one + 1 < end else _SPACE
            if not (97 <= following <= 122 or data[one + 1] == _SLASH or data[one + 1] == 33):
                return False
            inside = True
        elif inside and data[one] == _MORE:
            inside = False
        elif not inside and data[one] != _SPACE:
            return False
    return not inside


@helper
def _is_item(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether a list's item begins here: `- `, `* `, `+ `, `1. `, `1) `."""
    digits = at
    while digits < end and 48 <= data[digits] <= 57:
        digits += 1
    if digits > at:
        return digits + 1 < end and (data[digits] == _DOT or data[digits] == 41) and data[digits + 1] == _SPACE
    return at + 1 < end and (data[at] == _DASH or data[at] == 42 or data[at] == _PLUS) and data[at + 1] == _SPACE


@helper
def _indented_block(data: Bytes, at: Integer, end: Integer, literal: bool) -> tuple[Integer, bool]:
    """The end of the indented block that begins here, without blank lines after it, and whether it is code.

    It is code after `::` (`literal`), or if enough of it is signs of code; digits are among these.
    """
    stop = last = at
    signs = characters = 0
    while stop < end:
        line_end = _line_end(data, stop, end)
        first, column = _first_sign(data, stop, line_end)
        if first < line_end:
            if column < 4 and not (literal and column > 0):
                break
            for one in range(first, line_end):
                if data[one] != _SPACE:
                    signs += _IN_CODE[data[one]]
                    characters += 1
            last = line_end
        stop = line_end + 1
    return last, literal or signs >= _CODE_SIGNS * characters


@helper
def _count(data: Bytes, start: Integer, end: Integer, counts: Offsets) -> None:
    """Add the characters of `data[start:end]` to `counts`: all, letters and digits, those of the longest line."""
    line = 0
    for at in range(start, end):
        byte = data[at]
        if byte == _NEWLINE:
            counts[2] = max(counts[2], line)
            line = 0
        elif byte & 0xC0 != 0x80:
            line += 1
            if byte > 32:
                counts[0] += 1
                lower = byte | np.uint8(32)
                counts[1] += byte >= 128 or 48 <= byte <= 57 or 97 <= lower <= 122
    counts[2] = max(counts[2], line)


@kernel
def _separate(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets, NDArray[np.bool_], NDArray[np.float64]]:
    texts = len(offsets) - 1
    out = np.empty(offsets[texts] - offsets[0], dtype=np.uint8)
    ends = np.zeros(texts + 1, dtype=np.int64)
    whole = np.ones(texts, dtype=np.bool_)
    figures = np.zeros((len(CODE_STATISTICS), texts))
    counts = np.zeros((4, 3), dtype=np.int64)
    no_fence = np.empty(256, dtype=np.int64)  # by sign: a fence of so many or more has no end in the rest of the text
    for text in range(texts):
        start, end, size = offsets[text], offsets[text + 1], ends[text]
        counts[:] = 0
        no_fence[:] = _MAX_FENCE + 1
        no_element = np.zeros(_ELEMENTS.size, dtype=np.bool_)
        after_blank, in_list, literal, in_table, in_session = True, False, False, False, False
        at = judged = start  # indented text before `judged` has been looked at
        if start < end:
            at = _front_matter_end(data, start, end)
            if at > start:
                whole[text] = False
                _count(data, start, at, counts[_MARKUP])
                at += 1
        while at < end:
            stop = _line_end(data, at, end)
            first, column = _first_sign(data, at, stop)
            if first == stop:  # blank
                after_blank, in_table, in_session = True, False, False
                for one in range(at, min(stop + 1, end)):
                    out[size] = data[one]
                    size += 1
                at = stop + 1
                continue
            kind, last = _PROSE, stop
            fence, element = _fence(data, first, stop), _element(data, first, stop)
            if fence and fence < no_fence[data[first]]:
                closed = _fence_end(data, stop + 1, end, data[first], fence)
                if closed < 0:
                    no_fence[data[first]] = fence
                else:
                    kind, last = _CODE, closed
            elif element >= 0 and not no_element[element]:
                closed = _element_end(data, first, end, element)
                no_element[element] = closed < 0
                if closed >= 0:
                    kind, last = _CODE, closed
            elif at >= judged and after_blank and (column > 0 if literal else column >= 4 and not in_list):
                judged, is_code = _indented_block(data, at, end, literal)
                if is_code:
                    kind, last = _CODE, judged
            if kind == _PROSE:
                finish = _last_sign(data, first, stop)
                begins_session = (
                    data[first] == _DOLLAR and first + 1 < stop and data[first + 1] == _SPACE
                ) or (
                    first + 3 < stop
                    and data[first] == _MORE and data[first + 1] == _MORE and data[first + 2] == _MORE
                    and data[first + 3] == _SPACE
                )  # fmt: skip
                piped = False
                for one in range(first, finish):
                    piped = piped or data[one] == _PIPE
                begins_grid = finish - first > 1 and data[first] == _PLUS and (
                    data[first + 1] == _DASH or data[first + 1] == _EQUAL
                )  # fmt: skip
                if in_session or begins_session:
                    kind, in_session = _CODE, True
                elif data[first] == _PIPE or begins_grid or (in_table and piped):
                    kind = _TABLE
                elif _is_markup(data, first, finish):
                    kind, in_table = (_TABLE, True) if piped else (_MARKUP, False)
                if kind == _PROSE:
                    in_list = _is_item(data, first, stop) or (in_list and column > 0)
                    literal = finish - first > 1 and data[finish - 1] == _COLON and data[finish - 2] == _COLON
            if kind == _CODE and last > stop:
                in_list, literal = False, False
            _count(data, at, last, counts[kind])
            begin = at
            if kind == _PROSE and data[first] == _HASH:
                begin = first
                while begin < stop and data[begin] == _HASH:
                    begin += 1
                if begin - first > 6 or begin == stop or data[begin] != _SPACE:
                    begin = at
            whole[text] = whole[text] and kind == _PROSE and begin == at
            if kind == _PROSE:
                for one in range(begin, min(stop + 1, end)):
                    out[size] = data[one]
                    size += 1
            after_blank = kind == _CODE
            at = last + 1
        ends[text + 1] = size
        figures[3, text] = np.nan  # where there is no code
        total = counts[:, 0].sum()
        if total:
            figures[0, text] = counts[_CODE, 0] / total
            figures[1, text] = counts[_TABLE, 0] / total
            figures[2, text] = counts[_CODE, 2]
            if counts[_CODE, 0]:
                figures[3, text] = counts[_CODE, 1] / counts[_CODE, 0]
    return out[: ends[texts]].copy(), ends, whole, figures
