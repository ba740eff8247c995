"""Making text uniform without changing what it says.

In order: Unicode NFC, one kind of newline, no control characters, no white space at the ends of lines, at most one
blank line in a row. Mojibake and other wrong decodings are left as they are.
"""

import re
import unicodedata

# What other systems end a line or a page with: CR LF, CR, vertical tab, form feed, NEL, line and paragraph separator.
_NEWLINES = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# Control characters but for tab and newline, and the byte-order mark, which says nothing inside a text.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile("\n{3,}")


def clean(text: str) -> str:
    """`text` made uniform; idempotent.

    A lone surrogate (half a character, which JSON escapes can hold and UTF-8 can't) becomes U+FFFD.
    """
    text = _SURROGATES.sub("\ufffd", text)
    text = _CONTROLS.sub("", _NEWLINES.sub("\n", text))
    text = unicodedata.normalize("NFC", text)
    # Line by line: a pattern such as `[ \t]+$` takes quadratic time on long runs of spaces.
    text = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def squeeze(text: str) -> str:
    """One line: every run of white space becomes a space."""
    return " ".join(text.split())
