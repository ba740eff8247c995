"""Foreign text on a terminal: names of files, titles, answers of a model and errors of libraries.

A control sequence in a file's name can clear the screen, and an override of the reading direction can make a line look
like another one. So whatever the project prints and did not write itself goes through `printable`.
"""

import re

# Control characters but tab and newline, separators of lines and paragraphs, what turns the reading direction, and
# lone surrogates, which no terminal can be sent (bytes of file names that are not UTF-8).
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""`text` with everything that a terminal would act on written as an escape.

    >>> printable("notes\x1b[2J.txt")
    'notes\\x1b[2J.txt'
    """
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)
