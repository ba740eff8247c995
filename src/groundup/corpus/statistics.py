"""What is measured of each document before any rule looks at it.

Words are runs of anything but white space. The definitions follow Gopher (arXiv 2112.11446, appendix A.1.1) except
where `configuration.py` says otherwise.
"""

import re
from collections import Counter
from dataclasses import dataclass

_LETTER = re.compile(r"[^\W\d_]")
_ELLIPSES = re.compile(r"\.\.\.|…")
TRIGRAM_WORDS = 50  # shorter texts repeat a trigram by chance


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of one text; shares and ratios are 0 where there is nothing to divide by."""

    words: int
    mean_word_length: float  # characters
    alphabetic_words: float  # share of words with a letter
    symbols_per_word: float  # `#` and ellipses
    duplicate_lines: float  # share of lines that stand further up in the text too; blank ones not counted
    top_trigram: float  # share of the words' characters in occurrences of the most frequent 3 words in a row


def measure(text: str) -> Statistics:
    """The statistics of one clean text."""
    words = text.split()
    if not words:
        return Statistics(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    count, characters = len(words), sum(map(len, words))
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    return Statistics(
        words=count,
        mean_word_length=characters / count,
        alphabetic_words=sum(_LETTER.search(word) is not None for word in words) / count,
        symbols_per_word=(text.count("#") + len(_ELLIPSES.findall(text))) / count,
        duplicate_lines=1 - len(set(lines)) / len(lines),
        top_trigram=_top_trigram(words, characters),
    )


def _top_trigram(words: list[str], characters: int) -> float:
    if len(words) < TRIGRAM_WORDS:
        return 0.0
    counts = Counter(zip(words, words[1:], words[2:], strict=False))
    most = max(counts.values())
    if most == 1:
        return 0.0
    longest = max(sum(map(len, trigram)) for trigram, times in counts.items() if times == most)
    return min(1.0, most * longest / characters)
