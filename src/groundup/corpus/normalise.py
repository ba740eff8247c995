"""The form in which texts are compared: what is the same here reads the same.

Lower case, accents off (NFD without combining marks), punctuation and symbols to spaces, white space squeezed to one
space. Digits of other scripts become those of ASCII; that a digit counts as any other digit is decided by who compares.
"""

import unicodedata

_ASCII = bytes(ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)) + bytes(
    range(128, 256)
)


class _Table(dict[int, str]):
    """Character -> what it becomes, worked out once for each character that occurs."""

    def __missing__(self, code: int) -> str:
        becomes = "".join(_one(character) for character in unicodedata.normalize("NFD", chr(code).lower()))
        self[code] = becomes
        return becomes


_TABLE = _Table()


def normalise(text: str) -> bytes:
    """`text` for comparison, as UTF-8: words separated by one space."""
    if text.isascii():
        return b" ".join(text.encode().translate(_ASCII).split())
    return " ".join(text.translate(_TABLE).split()).encode()


def _one(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Mn":
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    return character if category[0] in "LNM" else " "
