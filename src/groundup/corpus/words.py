"""What a word is, wherever groundup counts words.

A word is what is between white space. Scripts that put no space between words (Han, kana, Thai, Lao, Khmer, Myanmar)
are counted by letters: each is a word of its own, with the marks and punctuation that follow it.

    "Ein Satz, z.B. dieser."   ->  Ein | Satz, | z.B. | dieser.
    "春天来了。河边"             ->  春 | 天 | 来 | 了。 | 河 | 边
    "用Python写"                ->  用 | Python | 写

A text without such letters has the words of `str.split()`, which is what the published rules are about. Statistics,
rules, repetition and F1 count these words; near-duplicates compare them in their normal form, without punctuation.
"""

import unicodedata

# Thai, Lao; Myanmar; Khmer; kana; ideographs and their extensions.
UNSPACED = (
    *((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x31F0, 0x3200)),
    *((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x1B000, 0x1B170), (0x20000, 0x323B0)),
)
"""Ranges `(first, end)` of code points of these scripts."""

_IS_UNSPACED = bytearray(0x110000)  # tables of every character ask for each of them
for _first, _end in UNSPACED:
    _IS_UNSPACED[_first:_end] = b"\1" * (_end - _first)


def is_unspaced(code: int) -> bool:
    """Whether a code point belongs to a script that puts no space between words."""
    return bool(_IS_UNSPACED[code])


def split_words(text: str) -> list[str]:
    """The words of a text in NFC, in their order."""
    words = []
    for run in unicodedata.normalize("NFC", text).split():
        if run.isascii():
            words.append(run)
            continue
        start, alone, begun = 0, False, False  # alone: the last letter or digit was a word of its own
        for at, character in enumerate(run):
            if not character.isalnum():
                continue
            unspaced = character.isalpha() and is_unspaced(ord(character))
            if begun and (unspaced or alone):
                words.append(run[start:at])
                start = at
            alone, begun = unspaced, True
        words.append(run[start:])
    return words
