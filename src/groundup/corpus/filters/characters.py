"""What each Unicode character is to the statistics: a table of bit sets that the kernels look up by code point."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.words import is_unspaced

SPACE = 1  # str.isspace: what words are separated by
LETTER = 2  # str.isalpha
DIGIT = 4  # str.isalnum, but no letter
TERMINAL = 8  # what sentences end with in any script: Unicode's Sentence_Terminal, and the ellipsis
CLOSER = 16  # quotes and brackets that may follow the end of a sentence
ANYWHERE = 32  # a TERMINAL of scripts that put no space after a sentence
BULLET = 64  # what begins an item of a list
QUOTE = 128  # a quote that may end a line as a terminal does
UNSPACED = LETTER | DIGIT  # a letter that is a word of its own (`corpus/words.py`); nothing else is both

# ruff: noqa: RUF001 (characters that look like others are what this is about)
_CLOSERS = "\"')]}*_’”»›」』）】》〉"
_QUOTES = "\"'’”»」』"
_ANYWHERE = "。．！？｡"
_BULLETS = "-*•‣◦▪●"
_CODES = 0x110000
_ASSIGNED = 0x32400  # no letter, digit or space lies above but in planes that are looked up as nothing


@cache
def classes() -> NDArray[np.uint8]:
    """[0x110000] the bit set of each code point."""
    import regex

    table = np.zeros(_CODES, dtype=np.uint8)
    for code in range(_ASSIGNED):
        character = chr(code)
        if character.isspace():
            table[code] = SPACE
        elif character.isalpha():
            table[code] = UNSPACED if is_unspaced(code) else LETTER
        elif character.isalnum():
            table[code] = DIGIT
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, _ASSIGNED)]))
    for character in regex.findall(r"\p{Sentence_Terminal}", everything):
        table[ord(character)] |= TERMINAL
    table[ord("…")] |= TERMINAL  # as `...` ends in one
    for characters, bit in ((_CLOSERS, CLOSER), (_QUOTES, QUOTE), (_ANYWHERE, ANYWHERE), (_BULLETS, BULLET)):
        for character in characters:
            table[ord(character)] |= bit
    return table
