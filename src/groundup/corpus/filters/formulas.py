r"""Display formulas in a text: what opens one, and where it ends. All compiled.

    $$              \[              \begin{align}
    e = mc^2        e = mc^2        e = mc^2
    $$              \] (1)          \end{align}

They open at the beginning of a line, have no blank line in them, and no words after them in their last line.
"""

import numpy as np

from groundup.corpus.filters.blocks import CLOSE, DOLLAR, NEWLINE, OPEN, SPACE, is_name, line_end, names_of, next_name
from groundup.kernels.arrow import Bytes
from groundup.kernels.compilation import Integer, helper

_BACKSLASH, _SQUARE, _UNSQUARE, _ROUND, _UNROUND = (np.uint8(ord(sign)) for sign in "\\[]()")
_ENVIRONMENTS = names_of("equation align gather multline eqnarray displaymath math")
FORMULAS = 2 + _ENVIRONMENTS.size  # the kinds of formulas: `$$`, `\[`, and environments by where their name is


@helper
def formula_at(data: Bytes, at: Integer, end: Integer) -> Integer:
    """The kind of formula that is opened here; -1 for none."""
    if at + 2 > end:
        return -1
    if data[at] == DOLLAR and data[at + 1] == DOLLAR:
        return 0
    if data[at] != _BACKSLASH:
        return -1
    if data[at + 1] == _SQUARE:
        return 1
    return _environment(data, at + 1, end, 98)  # b, of begin


@helper
def _environment(data: Bytes, at: Integer, end: Integer, initial: Integer) -> Integer:
    """2 and where the name is of the environment that `begin{` opens here, or `end{` closes; -1 for none."""
    letters = 6 if initial == 98 else 4
    if at + letters >= end or data[at] != initial or data[at + letters - 1] != OPEN:
        return -1
    name = 0
    while name < _ENVIRONMENTS.size:
        after = is_name(data, at + letters, end, _ENVIRONMENTS, name)
        if after >= 0 and after < end and (data[after] == CLOSE or data[after] == 42):
            return 2 + name
        name = next_name(_ENVIRONMENTS, name)
    return -1


@helper
def formula_end(data: Bytes, at: Integer, end: Integer, formula: Integer) -> tuple[Integer, Integer]:
    """`(the end of the line that closes a formula, how far was looked)`.

    The end is -1 if a blank line comes before it, or words follow it in its line: then it is none of its own.
    """
    one = at + 2
    blank = False  # nothing since the last newline
    while one < end:
        byte = data[one]
        if byte == NEWLINE:
            if blank:
                return -1, one
            blank = True
        elif byte > SPACE:
            blank = False
            closed = np.int64(-1)
            if formula == 0:
                if byte == DOLLAR and one + 1 < end and data[one + 1] == DOLLAR:
                    closed = one + 2
            elif byte == _BACKSLASH and one + 1 < end:
                if formula == 1:
                    if data[one + 1] == _UNSQUARE:
                        closed = one + 2
                elif _environment(data, one + 1, end, 101) == formula:
                    closed = one + 1
                    while closed < end and data[closed] != CLOSE:
                        closed += 1
                    closed += 1
            if closed >= 0:
                stop = line_end(data, closed, end)
                return (-1 if _has_words(data, closed, stop) else stop), stop
        one += 1
    return -1, end


@helper
def _has_words(data: Bytes, at: Integer, end: Integer) -> bool:
    """Whether letters are here, outside of brackets: `(1)` and `{#eq:x}` name a formula."""
    depth = 0
    for one in range(at, end):
        byte = data[one]
        if byte in (_ROUND, OPEN):
            depth += 1
        elif byte in (_UNROUND, CLOSE):
            depth -= 1
        elif depth <= 0 and (byte >= 128 or 97 <= byte | np.uint8(32) <= 122):
            return True
    return False
