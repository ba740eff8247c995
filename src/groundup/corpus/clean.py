"""Making text uniform without changing its meaning, and repairing what a wrong decoding did to it.

In order: Unicode NFC, one kind of newline, no control characters, no white space at the ends of lines, at most one
blank line in a row.
"""

import re
import unicodedata
from functools import cache

# What other systems end a line or a page with: CR LF, CR, vertical tab, form feed, NEL, line and paragraph separator.
_NEWLINES = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# Control characters but for tab and newline, and the byte-order mark, which says nothing inside a text.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
# Normal forms take quadratic time on long runs of combining marks; no script needs more than a few on one letter.
_MAX_MARKS = 30
_JOINER = "\u034f"  # ends a run for normalisation, and is not seen (Unicode UAX #15, section 13)
# Without the letters of most texts, among which no mark is: found quickly, and rarely. `re` skips to where a class
# begins, but not to where a repeated one does.
_CLASS = "[^\0-\u02ff\u0370-\u0482\u2010-\u205e\u3400-\u9fff\uac00-\ud7a3]"
_CANDIDATES = re.compile(f"{_CLASS}{_CLASS}{{{_MAX_MARKS}}}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile("\n{3,}")
_SPECIAL = bytes(byte for byte in range(0x80, 0xA0)).decode("cp1252", "ignore")  # typographic quotes and the like
# Two bytes of UTF-8 read as windows-1252 or ISO 8859-1: what a leading byte becomes, then what a following one does.
_MISREAD = re.compile(f"[\u00c2-\u00f4][\u0080-\u00bf{_SPECIAL}]")


# Characters that stay as they are, each and in any order: printable ASCII, Latin, Cyrillic, kana, Han, Hangul and the
# punctuation of these. Without those that are composed with another, or have another normal form, or are no spaces.
_USUAL = (
    "\t\n -~\xa0-\u02ff\u0400-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u3001-\u3029\u3041-\u3096\u309b-\u309f"
    "\u30a0-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff9d"
)
_UNUSUAL = re.compile(f"[^{_USUAL}]")
_ASCII_USUAL = bytes([9, 10, *range(32, 127)])


def _with_short_runs(text: str) -> str:
    """`text` with an invisible joiner after every `_MAX_MARKS` of a run of combining marks."""
    if not _CANDIDATES.search(text):
        return text

    def cut(match: re.Match[str]) -> str:
        marks = match.group()
        return _JOINER.join(marks[at : at + _MAX_MARKS] for at in range(0, len(marks), _MAX_MARKS))

    return _long_marks().sub(cut, text)


@cache
def _long_marks() -> re.Pattern[str]:
    """Runs of more than `_MAX_MARKS` characters that canonical ordering moves."""
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{_MAX_MARKS + 1},}}")


def others_of(text: str) -> str:
    """The characters of a text that are not ordinary ASCII, in their order: few in most texts, so a search is quick.

    Those that are next to each other in the text are so here.
    """
    return text.encode("utf-8", "surrogatepass").translate(None, _ASCII_USUAL).decode("utf-8", "surrogatepass")


def clean(text: str, others: str | None = None) -> str:
    """`text` made uniform; idempotent.

    A lone surrogate (half a character, which JSON escapes can hold and UTF-8 can't) becomes U+FFFD.

    Args:
        text: any.
        others: `others_of(text)`, where that is known.
    """
    if not text:
        return text
    # Most texts hold nothing unusual, and asking is several times as quick as replacing.
    if _UNUSUAL.search(others_of(text) if others is None else others):
        if not text.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable():
            text = _CONTROLS.sub("", _NEWLINES.sub("\n", _SURROGATES.sub("\ufffd", text)))
        text = unicodedata.normalize("NFC", _with_short_runs(text))
    # Line by line: a pattern such as `[ \t]+$` takes quadratic time on long runs of spaces.
    text = "\n".join(map(str.rstrip, text.split("\n")))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def repair(text: str, others: str | None = None) -> str:
    """`text` with its mojibake repaired: `schÃ¶n` to `schön`, `donâ€™t` to `don't`.

    Only UTF-8 that was read as one of the usual single-byte character sets, and only in lines that ftfy judges to be
    better afterwards (Speer 2019, doi:10.5281/zenodo.2591652); it almost never changes what was right.

    Args:
        text: any.
        others: `others_of(text)`, where that is known.
    """
    others = others_of(text) if others is None else others
    if not _MISREAD.search(others) or not _MISREAD.search(text):
        return text
    import ftfy

    lines = text.split("\n")
    return "\n".join(ftfy.fix_encoding(line) if _MISREAD.search(line) else line for line in lines)


def squeeze(text: str) -> str:
    """One line: every run of white space becomes a space."""
    return " ".join(text.split())
