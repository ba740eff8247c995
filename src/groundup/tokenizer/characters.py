"""What the pre-tokenizer's patterns ask of a character: is it a letter, a number, white space, the end of a line?

The kernels take the answers from a table that is part of the project (`character_ranges.py`), so that a text is cut
alike on every machine, whatever Unicode version its libraries have. `python -m groundup.tokenizer.characters` writes it
again from the installed `regex`.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.tokenizer.character_ranges import LETTERS, NUMBERS

CODE_POINTS = 0x110000
OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)
WHITE_SPACE = (
    *range(0x09, 0x0E),
    0x20,
    0x85,
    0xA0,
    0x1680,
    *range(0x2000, 0x200B),
    0x2028,
    0x2029,
    0x202F,
    0x205F,
    0x3000,
)


@cache
def character_classes() -> NDArray[np.uint8]:
    """(0x110000,) the class of every code point."""
    classes = np.full(CODE_POINTS, OTHER, dtype=np.uint8)
    for ranges, kind in ((LETTERS, LETTER), (NUMBERS, NUMBER)):
        at = 0
        for gap, length in zip(ranges[::2], ranges[1::2], strict=True):
            at += gap
            classes[at : at + length] = kind
            at += length
    classes[list(WHITE_SPACE)] = SPACE
    classes[[ord("\r"), ord("\n")]] = NEWLINE
    classes.flags.writeable = False
    return classes


def ranges_of(category: str) -> list[int]:
    r"""The code points of `\p{category}` in the installed `regex`: in turn a gap's length and a range's."""
    import regex

    everything = "".join(map(chr, range(CODE_POINTS)))
    ranges, end = [], 0
    for match in regex.finditer(rf"\p{{{category}}}+", everything):
        ranges += [match.start() - end, match.end() - match.start()]
        end = match.end()
    return ranges


def write_ranges(path: Path) -> None:
    """Write `character_ranges.py`."""
    from textwrap import fill

    import regex

    lines = [f'"""Unicode letters and numbers as regex {regex.__version__} knows them; written by characters.py.\n']
    lines.append('In turn: how many code points are none, how many then are.\n"""\n')
    for name, category in (("LETTERS", "L"), ("NUMBERS", "N")):
        numbers = fill(", ".join(map(str, ranges_of(category))), 116, break_on_hyphens=False)
        lines.append(
            f"# fmt: off\n{name}: tuple[int, ...] = (\n    {numbers.replace(chr(10), chr(10) + '    ')},\n)\n# fmt: on"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_ranges(Path(__file__).with_name("character_ranges.py"))
