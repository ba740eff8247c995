"""Cutting text into words, the pieces that no merge crosses, and counting them.

The three patterns are written as their models publish them: every character falls into one word, so the words of a
text join back to the text.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import regex

PatternName = Literal["gpt2", "llama3", "qwen2"]

PATTERNS: dict[PatternName, str] = {
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


def compile_pattern(name: PatternName) -> regex.Pattern[str]:
    """The pattern ready for use; `regex` keeps compiled patterns, so calling this often costs little."""
    return regex.compile(PATTERNS[name])


def well_formed(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 can't carry, replaced by U+FFFD (JSON's `"\\ud83d"` makes them)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def count_words(texts: Iterable[str], pattern: PatternName) -> Counter[str]:
    """How often each word occurs. Tables of several parts of a corpus add up (`+`) to the table of the whole."""
    cut = compile_pattern(pattern)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(cut.findall(well_formed(text)))
    return counts
