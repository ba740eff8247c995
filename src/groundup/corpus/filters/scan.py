"""One pass over the bytes of a text: its words, lines and paragraphs, and every count that compares nothing.

    for each word    its hash and its length; `repetition.py` compares them
    for each line    the hash of its words, and the characters in them; the same for each paragraph
    for the text     counts, written into its row of the table of statistics

Words are those of `corpus/words.py`. Lengths are in code points. A line is what is between two newlines, without white
space at its ends, unless nothing is left; a paragraph is what is between blank lines. Lines and paragraphs are the same
where their words are: white space inside is not compared. Words are distinguished by hashes of 63 bits: among a million
different ones, two fall together with a chance of one in 18 million.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.filters import characters
from groundup.corpus.filters.columns import (
    ALPHABETIC_WORDS,
    ALPHANUMERIC_CHARACTERS,
    BULLET_LINES,
    CURLY_BRACKETS,
    ELLIPSES_PER_WORD,
    ELLIPSIS_LINES,
    GENERATED_MARKS,
    HASHES_PER_WORD,
    LINE_LENGTH,
    LOREM_IPSUM,
    MEAN_LINE_LENGTH,
    MEAN_WORD_LENGTH,
    NEWLINES_PER_WORD,
    SENTENCES,
    SHORT_LINES,
    STOP_WORDS,
    TERMINAL_LINES,
    WORDS,
)
from groundup.kernels.arrow import Bytes
from groundup.kernels.bits import load64_before, trailing_zeros
from groundup.kernels.compilation import helper
from groundup.kernels.hashing import GOLDEN

SHORT_LINE = 30  # characters (FineWeb)
HEAD_LINES = 5  # where marks of generated code are

_SPACE, _LETTER, _DIGIT = np.uint8(characters.SPACE), np.uint8(characters.LETTER), np.uint8(characters.DIGIT)
_TERMINAL, _CLOSER = np.uint8(characters.TERMINAL), np.uint8(characters.CLOSER)
_ANYWHERE, _BULLET = np.uint8(characters.ANYWHERE), np.uint8(characters.BULLET)
_ENDS_LINE = np.uint8(characters.TERMINAL | characters.QUOTE)
_WORD = _UNSPACED = np.uint8(characters.UNSPACED)  # any letter or digit has one of its bits, an unspaced one has both
_BLANK, _NEWLINE, _HASH, _DOT = np.uint8(32), np.uint8(10), np.uint8(35), np.uint8(46)
_BRACKET, _ASCII_END = np.uint8(123), np.uint8(128)
_ELLIPSIS = 0x2026

_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_NONE, _ONE, _FULL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_OTHER = np.uint64(0xFF)  # lowest byte of what a character beyond ASCII adds to a hash: no letter has it
_ALL_STOP_WORDS = 255
_CASE = np.uint64(0x2020202020202020)  # set in each byte, it makes ASCII letters small
_TOP, _REST = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F)
_FROM_A, _BEYOND_Z = np.uint64(0x1F1F1F1F1F1F1F1F), np.uint64(0x0505050505050505)  # added to a byte, they reach its top


def _number(letters: str) -> np.uint64:
    """Up to 8 small letters as one number, the first one lowest."""
    return np.uint64(int.from_bytes(letters.encode(), "little"))


_THE, _BE, _TO, _OF = _number("the"), _number("be"), _number("to"), _number("of")
_AND, _THAT, _HAVE, _WITH = _number("and"), _number("that"), _number("have"), _number("with")
_LOREM, _IPSUM = _number("lorem"), _number("ipsum")
_AUTO, _AUTOMATI, _ATICALLY = _number("auto"), _number("automati"), _number("atically")
_AUTOGENE, _GENERATE, _ENERATED = _number("autogene"), _number("generate"), _number("enerated")


@helper
def _letters(value: np.uint64) -> int:
    """How many of eight bytes, from the first on, are ASCII letters."""
    low = (value | _CASE) & _REST
    return trailing_zeros(~((low + _FROM_A) & ~(low + _BEYOND_Z) & ~value) & _TOP) >> 3


@helper
def _with(hashed: np.uint64, value: np.uint64) -> np.uint64:
    """The hash of what was hashed before and then `value`; a bijection in each of the two."""
    hashed = (hashed ^ value) * _MULTIPLIER
    return hashed ^ (hashed >> np.uint64(29))


@helper
def code_point(data: Bytes, at: int) -> tuple[np.int64, int]:
    """`(code point, bytes)` of the character of several bytes whose first is at `at`; the text is valid UTF-8."""
    first, second = np.int64(data[at]), np.int64(data[at + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(data[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | (np.int64(data[at + 3]) & 0x3F), 4


@helper
def _bits_at(data: Bytes, at: int, table: NDArray[np.uint8]) -> np.uint8:
    """What the character is whose first byte is at `at`."""
    return table[data[at]] if data[at] < _ASCII_END else table[code_point(data, at)[0]]


@helper
def bits_before(data: Bytes, end: int, table: NDArray[np.uint8]) -> np.uint8:
    """What the character is that ends before `end`."""
    at = end - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    return _bits_at(data, at, table)


@helper
def ends_in_ellipsis(data: Bytes, start: int, end: int) -> bool:
    """Whether `data[start:end]` ends in three dots or in `…`."""
    if end - start < 3:
        return False
    if data[end - 1] == _DOT:
        return data[end - 2] == _DOT and data[end - 3] == _DOT
    return data[end - 1] == 0xA6 and data[end - 2] == 0x80 and data[end - 3] == 0xE2


@helper
def _stop_word(word: np.uint64) -> int:
    """The bit of one of Gopher's eight stop words, or 0."""
    if word in (_THE, _OF, _AND, _TO):
        return 1 if word == _THE else 2 if word == _OF else 4 if word == _AND else 8
    return 16 if word == _BE else 32 if word == _THAT else 64 if word == _HAVE else 128 if word == _WITH else 0


@helper
def _is_auto(data: Bytes, at: int, length: int) -> bool:
    """Whether a run of letters is `auto` or `automatically`."""
    first = load64_before(data, at, data.size) | _CASE
    if length == 13:
        return first == _AUTOMATI and load64_before(data, at + 5, data.size) | _CASE == _ATICALLY
    return length == 4 and first & np.uint64(0xFFFFFFFF) == _AUTO


@helper
def _is_mark(data: Bytes, at: int, length: int, after_auto: bool) -> bool:
    """Whether a run of letters says that the code was generated: `autogenerated`, or `generated` after `auto`."""
    first = load64_before(data, at, data.size) | _CASE
    if length == 13:
        return first == _AUTOGENE and load64_before(data, at + 5, data.size) | _CASE == _ENERATED
    return (
        length == 9
        and after_auto
        and first == _GENERATE
        and load64_before(data, at + 1, data.size) | _CASE == _ENERATED
    )


@helper
def scan(
    data: Bytes,
    start: int,
    end: int,
    table: NDArray[np.uint8],
    words: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    lines: NDArray[np.uint64],
    line_lengths: NDArray[np.int64],
    paragraphs: NDArray[np.uint64],
    paragraph_lengths: NDArray[np.int64],
    row: NDArray[np.float64],
) -> tuple[int, int, int]:
    """Fill the arrays and the text's row; returns how many words, lines and paragraphs there are.

    Args:
        data: the bytes of all texts; this one is `data[start:end]`.
        start, end: see there.
        table: `characters.classes()`.
        words: the hash of each word.
        lengths: the characters in all words before it, and after the last those in all of them.
        lines: the hash of each line.
        line_lengths: the characters of its words.
        paragraphs: the hash of each paragraph.
        paragraph_lengths: the characters of its words.
        row: the text's statistics, all but those that compare.
    """
    word_count = line_count = paragraph_count = newlines = 0
    total = symbols = without_letter = hashes = ellipses = brackets = 0
    stop_words = sentences = lorem_ipsum = marks = 0
    unspaced_words = unspaced_characters = 0
    bullets = ellipsis_lines = terminal_lines = short_lines = longest = all_lines = 0
    line_hash, line_start, line_first, line_before, inner_spaces = GOLDEN, start, 0, 0, 0
    paragraph_hash, paragraph_before, newlines_in_row = GOLDEN, 0, 0
    spaces = 0  # white space since the line's last word
    lorem_at = -2
    in_sentence = after_auto = False
    word_end = at = start
    while True:
        # White space up to the next word, with the ends of lines in it. The text's end is a line's end too.
        while at <= end:
            if at < end and data[at] == _BLANK:
                spaces += 1
                at += 1
            elif at == end or data[at] == _NEWLINE:
                newlines += at < end
                newlines_in_row += 1
                if word_count > line_first:
                    lines[line_count], line_lengths[line_count] = line_hash | _ONE, total - line_before
                    line_count += 1
                    ellipsis_lines += ends_in_ellipsis(data, line_start, word_end)
                    terminal_lines += (bits_before(data, word_end, table) & _ENDS_LINE) != 0
                    length = total - line_before + inner_spaces
                    short_lines += length <= SHORT_LINE
                    all_lines += length
                    longest = max(longest, length)
                    sentences += in_sentence
                    in_sentence = False
                    line_hash, line_first, line_before, inner_spaces = GOLDEN, word_count, total, 0
                spaces = 0
                at += 1
            elif data[at] < _ASCII_END:
                if not table[data[at]] & _SPACE:
                    break
                spaces += 1
                at += 1
            else:
                code, size = code_point(data, at)
                if not table[code] & _SPACE:
                    break
                spaces += 1
                at += size
        if (newlines_in_row > 1 or at > end) and total > paragraph_before:
            paragraphs[paragraph_count] = paragraph_hash | _ONE
            paragraph_lengths[paragraph_count] = total - paragraph_before
            paragraph_count += 1
            paragraph_hash, paragraph_before = GOLDEN, total
        newlines_in_row = 0
        if at > end:
            break
        if word_count == line_first:
            line_start, spaces = at, 0
            bullets += (_bits_at(data, at, table) & _BULLET) != 0
        inner_spaces += spaces
        spaces = 0

        # The word that begins here: runs of ASCII letters, and other characters one by one.
        hashed, word_before, runs, dots = GOLDEN, total, 0, 0
        has_letter, terminal, plain = False, False, True  # plain: letters and digits only in one run of up to 8 letters
        small = _NONE  # the last eight letters of a run, or fewer, as small ones
        begun = alone = joined = False  # has a letter or digit; one that is a word of its own; ends before another one
        while at < end:
            byte = data[at]
            if byte < _ASCII_END:
                bits = table[byte]
                if alone and bits & _WORD:
                    joined = True
                    break
                if bits == _LETTER:
                    run, count = at, 8
                    while count == 8:
                        value = load64_before(data, at, data.size)
                        count = min(_letters(value), end - at)
                        if count == 0:
                            break
                        within = _FULL >> np.uint64(64 - 8 * count)
                        hashed = _with(hashed, value & within)
                        small = (value | _CASE) & within
                        at += count
                    total += at - run
                    runs += 1
                    has_letter, in_sentence, terminal, dots, begun = True, True, False, 0, True
                    if at - run > 8:
                        plain = False
                    if line_count < HEAD_LINES:
                        marks += _is_mark(data, run, at - run, after_auto)
                        after_auto = _is_auto(data, run, at - run)
                    continue
                if bits & _SPACE:
                    break
                at += 1
                hashed = _with(hashed, np.uint64(byte))
                if byte == _DOT:
                    dots += 1
                    ellipses += dots % 3 == 0
                else:
                    dots = 0
                    hashes += byte == _HASH
                    brackets += byte == _BRACKET
            else:
                code, size = code_point(data, at)
                bits = table[code]
                if bits & _SPACE:
                    break
                if bits & _WORD and (alone or (begun and bits & _UNSPACED == _UNSPACED)):
                    joined = True
                    break
                alone = alone or bits & _UNSPACED == _UNSPACED
                at += size
                hashed = _with(hashed, np.uint64(code) << np.uint64(8) | _OTHER)
                dots = 0
                ellipses += code == _ELLIPSIS
                if bits & _LETTER:
                    has_letter = True
                if bits & _ANYWHERE and in_sentence:
                    sentences += 1
                    in_sentence = False
            total += 1
            if bits & _WORD:
                plain, in_sentence, terminal, begun = False, True, False, True
                continue
            symbols += 1
            if bits & _TERMINAL:
                terminal = True
            elif not bits & _CLOSER:
                in_sentence, terminal = True, False
        word_end = at
        if terminal and in_sentence and not joined:
            sentences += 1
            in_sentence = False
        if not has_letter:
            without_letter += 1
        if alone:
            unspaced_words += 1
            unspaced_characters += total - word_before
        if plain and runs == 1:
            if stop_words != _ALL_STOP_WORDS:
                stop_words |= _stop_word(small)
            if small == _LOREM:
                lorem_at = word_count
            elif small == _IPSUM:
                lorem_ipsum += lorem_at == word_count - 1
        words[word_count], lengths[word_count] = hashed | _ONE, word_before
        word_count += 1
        line_hash, paragraph_hash = (line_hash + hashed) * _MULTIPLIER, (paragraph_hash + hashed) * _MULTIPLIER

    lengths[word_count] = total
    different = 0
    while stop_words:
        different += stop_words & 1
        stop_words >>= 1
    row[WORDS] = word_count
    row[STOP_WORDS] = different
    row[SENTENCES] = sentences
    row[CURLY_BRACKETS] = brackets
    row[LOREM_IPSUM] = lorem_ipsum
    row[LINE_LENGTH] = longest
    row[GENERATED_MARKS] = marks
    if word_count:
        spaced_words = word_count - unspaced_words
        row[MEAN_WORD_LENGTH] = np.nan  # where most words are single letters, their length says nothing
        if 2 * spaced_words >= word_count:
            row[MEAN_WORD_LENGTH] = (total - unspaced_characters) / spaced_words
        row[ALPHABETIC_WORDS] = (word_count - without_letter) / word_count
        row[HASHES_PER_WORD] = hashes / word_count
        row[ELLIPSES_PER_WORD] = ellipses / word_count
        row[NEWLINES_PER_WORD] = newlines / word_count
        row[BULLET_LINES] = bullets / line_count
        row[ELLIPSIS_LINES] = ellipsis_lines / line_count
        row[TERMINAL_LINES] = terminal_lines / line_count
        row[SHORT_LINES] = short_lines / line_count
        row[MEAN_LINE_LENGTH] = all_lines / line_count
        row[ALPHANUMERIC_CHARACTERS] = (total - symbols) / total
    return word_count, line_count, paragraph_count
