"""How GPT-2's and Hugging Face's files spell bytes: with one printable character each.

Printable bytes of Latin-1 spell themselves, the other 68 take the characters from U+0100 on.
"""

from groundup.tokenizer.vocabulary import BYTES


def _byte_characters() -> list[str]:
    """The character that spells each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    spelled = {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + at) for at, byte in enumerate(others)}
    return [spelled[byte] for byte in range(BYTES)]


CHARACTERS = _byte_characters()
_BYTE_OF = {character: byte for byte, character in enumerate(CHARACTERS)}


def spell(token: bytes) -> str:
    """`b" the"` as `Ġthe`."""
    return "".join(CHARACTERS[byte] for byte in token)


def unspell(token: str) -> bytes:
    """`Ġthe` as `b" the"`; raises ValueError for a character that spells no byte."""
    try:
        return bytes(_BYTE_OF[character] for character in token)
    except KeyError as error:
        raise ValueError(f"the token {token!r} is not spelled in bytes") from error
