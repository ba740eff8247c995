"""Where blocks that are no prose begin and end: fences, elements of HTML, front matter, indented code. All compiled.

A line's content begins after its white space and, in a quote, after the marks of it:

    "  > > ```js"   ->  content "```js", in a quote
    ">>> f(1)"      ->  content ">>> f(1)": a Python session, no quote
"""

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Bytes
from groundup.kernels.bits import bytes_equal, trailing_zeros
from groundup.kernels.compilation import Integer, helper

FRONT_MATTER_LINES = 200  # after which `---` is a rule between paragraphs
MAX_FENCE = 8  # longer fences count as so long
PROSE, CODE, TABLE, MARKUP = range(4)
_CODE_SIGNS = 0.08  # fraction of signs from which text that may be code is code

NEWLINE, SPACE, _TAB, _RETURN = np.uint8(10), np.uint8(32), np.uint8(9), np.uint8(13)
LESS, MORE, _SLASH, HASH, PIPE = np.uint8(60), np.uint8(62), np.uint8(47), np.uint8(35), np.uint8(124)
_BACKTICK, _TILDE, DASH, PLUS, EQUAL = np.uint8(96), np.uint8(126), np.uint8(45), np.uint8(43), np.uint8(61)
COLON, _DOT, DOLLAR, OPEN, CLOSE, _PERCENT = (np.uint8(ord(sign)) for sign in ":.${}%")
_UNROUND = np.uint8(41)


def _set_of(characters: str) -> NDArray[np.bool_]:
    found = np.zeros(256, dtype=np.bool_)
    found[[ord(one) for one in characters]] = True
    return found


def names_of(names: str) -> NDArray[np.uint8]:
    """Names with a space after each, as `is_name` and `next_name` read them."""
    return np.frombuffer(f"{names} ".encode(), dtype=np.uint8)


_IN_CODE = _set_of("{}=<>[]_();/\\|&$#@*+%^~0123456789")
BEGINS = _set_of("`~<>|+$#-=_*^:{\\ \t\r\n0123456789")  # that a line of anything but prose may begin with
_SEPARATES = _set_of("-=_*~^+|: \t\r")
_ELEMENT_NAMES = "pre script style textarea syntaxhighlight table svg math"
_ELEMENTS = names_of(_ELEMENT_NAMES)
ELEMENTS = _ELEMENTS.size  # an element is named by where its name is in the list
_TABLE, _SVG = _ELEMENT_NAMES.index("table"), _ELEMENT_NAMES.index("svg")


@helper
def line_end(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The next newline, or the end."""
    while at + 64 <= end:
        found = bytes_equal(data, at, NEWLINE)
        if found:
            return at + trailing_zeros(found)
        at += 64
    while at < end and data[at] != NEWLINE:
        at += 1
    return at


@helper
def first_sign(data: Bytes, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """`(index of the first character that is no space, its column)`; a tab reaches to the next multiple of four."""
    column = 0
    while at < end and (data[at] == SPACE or data[at] == _TAB or data[at] == _RETURN):
        column = column // 4 * 4 + 4 if data[at] == _TAB else column + 1
        at += 1
    return at, column


@helper
def last_sign(data: Bytes, at: Integer, end: Integer) -> Integer:
    """After the last character that is no space."""
    while end > at and (data[end - 1] == SPACE or data[end - 1] == _TAB or data[end - 1] == _RETURN):
        end -= 1
    return end


@helper
def begins_session(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether `$ ` or `>>> ` is here."""
    if at + 1 < end and data[at] == DOLLAR:
        return data[at + 1] == SPACE
    return at + 3 < end and data[at] == MORE and data[at + 1] == MORE and data[at + 2] == MORE and data[at + 3] == SPACE


@helper
def content(data: Bytes, at: Integer, end: Integer) -> tuple[Integer, Integer, bool]:
    """`(where a line's content begins, its column, whether it is in a quote)`; the column counts from the quote on."""
    first, column = first_sign(data, at, end)
    quoted = False
    while first < end and data[first] == MORE and not begins_session(data, first, end):
        quoted = True
        first += 1
        if first < end and data[first] == SPACE:
            first += 1
        first, column = first_sign(data, first, end)
    return first, column, quoted


@helper
def fence_at(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The length of the fence that begins here; 0 for none."""
    if at == end or (data[at] != _BACKTICK and data[at] != _TILDE):
        return 0
    length = 0
    while at + length < end and data[at + length] == data[at]:
        length += 1
    return min(length, MAX_FENCE) if length >= 3 else 0


@helper
def opens_fence(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The length of the fence that opens code here; 0 for none, as where backticks follow (`` ```x``` ``)."""
    length = fence_at(data, at, end)
    if length and data[at] == _BACKTICK:
        one = at
        while one < end and data[one] == _BACKTICK:
            one += 1
        while one < end:
            if data[one] == _BACKTICK:
                return 0
            one += 1
    return length


@helper
def fence_end(data: Bytes, at: Integer, end: Integer, sign: Integer, length: Integer, quoted: bool) -> Integer:
    """The end of the line that closes a fence, or of the quote that the fence is in; -1 where there is none."""
    while at < end:
        stop = line_end(data, at, end)
        first, _, inside = content(data, at, stop)
        if quoted and not inside:
            return at - 1
        if not quoted and inside:
            first, _ = first_sign(data, at, stop)
        if first < stop and data[first] == sign and fence_at(data, first, stop) >= length:
            rest = first
            while rest < stop and data[rest] == sign:
                rest += 1
            if first_sign(data, rest, stop)[0] == stop:
                return stop
        at = stop + 1
    return end if quoted else -1


@helper
def is_name(data: Bytes, at: Integer, end: Integer, names: Bytes, name: Integer) -> Integer:
    """After the name that begins at `names[name]`, if it is here in any case; -1 if not."""
    one = 0
    while names[name + one] != SPACE:
        if at + one >= end or data[at + one] | np.uint8(32) != names[name + one]:
            return -1
        one += 1
    return at + one


@helper
def next_name(names: Bytes, name: Integer) -> Integer:
    """Where the name after `names[name]` begins."""
    while names[name] != SPACE:
        name += 1
    return name + 1


@helper
def _element_here(data: Bytes, at: Integer, end: Integer) -> Integer:
    if at + 4 > end or data[at] != LESS:
        return -1
    name = 0
    while name < _ELEMENTS.size:
        after = is_name(data, at + 1, end, _ELEMENTS, name)
        if after >= 0 and (after == end or data[after] == MORE or data[after] <= SPACE):
            return name
        name = next_name(_ELEMENTS, name)
    return -1


@helper
def element_at(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The element, by where its name is in the list of names, that begins here, perhaps after other tags; or -1."""
    while at < end and data[at] == LESS:
        found = _element_here(data, at, end)
        if found >= 0:
            return found
        while at < end and data[at] != MORE:
            at += 1
        at += 1
        while at < end and data[at] == SPACE:
            at += 1
    return -1


@helper
def element_kind(element: Integer) -> Integer:
    """CODE, TABLE or MARKUP."""
    return TABLE if element == _TABLE else MARKUP if element >= _SVG else CODE


@helper
def element_end(data: Bytes, at: Integer, end: Integer, element: Integer) -> Integer:
    """The end of the line with the end of an element; -1 where there is none. Tables may be in tables."""
    depth, last = 0, np.int64(-1)
    while at < end:
        if data[at] == LESS:
            closes = at + 1 < end and data[at + 1] == _SLASH
            after = is_name(data, at + 2 if closes else at + 1, end, _ELEMENTS, element)
            if after >= 0 and closes and after < end and data[after] == MORE:
                depth -= 1
                last = line_end(data, after, end)
                if depth <= 0 or element != _TABLE:
                    return last
            elif after >= 0 and not closes and (after == end or data[after] == MORE or data[after] <= SPACE):
                depth += 1
        at += 1
    return last


@helper
def front_matter_end(data: Bytes, start: Integer, end: Integer) -> Integer:
    """The end of the line that closes front matter; `start` where there is none."""
    stop = line_end(data, start, end)
    sign = data[start]
    if (sign != DASH and sign != PLUS) or last_sign(data, start, stop) - start != 3:
        return start
    if data[start + 1] != sign or data[start + 2] != sign:
        return start
    at = stop + 1
    for _ in range(FRONT_MATTER_LINES):
        if at >= end:
            return start
        stop = line_end(data, at, end)
        if last_sign(data, at, stop) - at == 3 and data[at] == sign and data[at + 1] == sign and data[at + 2] == sign:
            return stop
        at = stop + 1
    return start


@helper
def is_markup(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether a line, without spaces at its ends, is tags, template marks or separating signs alone."""
    if end - at >= 4 and data[at] == OPEN and data[end - 1] == CLOSE:
        second, last = data[at + 1], data[end - 2]
        if (second == OPEN and last == CLOSE) or (second == _PERCENT and last == _PERCENT):
            return True
    if end - at >= 3 and _SEPARATES[data[at]]:
        one = at
        while one < end and _SEPARATES[data[one]]:
            one += 1
        if one == end:
            return True
    if data[at] != LESS:
        return False
    inside = False
    for one in range(at, end):
        if not inside and data[one] == LESS:
            following = data[one + 1] if one + 1 < end else SPACE
            if not (97 <= following | np.uint8(32) <= 122 or following == _SLASH or following == 33):
                return False
            inside = True
        elif inside and data[one] == MORE:
            inside = False
        elif not inside and data[one] != SPACE:
            return False
    return not inside


@helper
def after_item(data: Bytes, at: Integer, end: Integer) -> Integer:
    """Where the content of a list's item begins, after `- `, `* `, `+ `, `1. `, `1) `; `at` where none is here."""
    mark = at
    while mark < end and 48 <= data[mark] <= 57:
        mark += 1
    if mark > at:
        is_item = mark + 1 < end and (data[mark] == _DOT or data[mark] == _UNROUND) and data[mark + 1] == SPACE
    else:
        is_item = mark + 1 < end and (data[mark] == DASH or data[mark] == 42 or data[mark] == PLUS)
        is_item = is_item and data[mark + 1] == SPACE
    return first_sign(data, mark + 1, end)[0] if is_item else at


@helper
def indented_block(data: Bytes, at: Integer, end: Integer, literal: bool, quoted: bool) -> tuple[Integer, bool]:
    """The end of the indented block that begins here, without blank lines after it, and whether it is code.

    It is code after `::` (`literal`), or if enough of it is signs of code; digits are among these.
    """
    stop = last = at
    signs = characters = 0
    while stop < end:
        finish = line_end(data, stop, end)
        first, column, inside = content(data, stop, finish)
        if quoted and not inside:
            break
        if not quoted and inside:
            first, column = first_sign(data, stop, finish)
        if first < finish:
            if column < 4 and not (literal and column > 0):
                break
            more, all_of_them = _signs(data, first, finish)
            signs, characters = signs + more, characters + all_of_them
            last = finish
        stop = finish + 1
    return last, literal or signs >= _CODE_SIGNS * characters


@helper
def open_block(data: Bytes, at: Integer, end: Integer) -> tuple[Integer, bool]:
    """The end of the lines up to the next blank one, and whether enough of them is signs of code."""
    stop = last = at
    signs = characters = 0
    while stop < end:
        finish = line_end(data, stop, end)
        first, _ = first_sign(data, stop, finish)
        if first == finish:
            break
        more, all_of_them = _signs(data, first, finish)
        signs, characters = signs + more, characters + all_of_them
        last, stop = finish, finish + 1
    return last, signs >= _CODE_SIGNS * characters


@helper
def _signs(data: Bytes, at: Integer, end: Integer) -> tuple[Integer, Integer]:
    """How many signs of code, and how many characters, there are."""
    signs = characters = 0
    for one in range(at, end):
        if data[one] != SPACE:
            signs += _IN_CODE[data[one]]
            characters += 1
    return signs, characters
