r"""RTF to text.

{\rtf1\ansi{\fonttbl{\f0 Arial;}}\b Tea\b0\par It is hot.}   ->   Tea
                                                                   It is hot.
"""

import codecs
import re

_TOKEN = re.compile(r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|([^\\{}]+)", re.DOTALL)
_DROPPED = frozenset(
    "fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf"
    " listtable listoverridetable themedata datastore generator xmlnstbl latentstyles revtbl rsidtbl fldinst bkmkstart"
    " bkmkend".split()
)
_CHARACTERS = {"par": "\n\n", "line": "\n", "sect": "\n\n", "page": "\n\n", "tab": "\t", "cell": " | ", "row": "\n"}
_CHARACTERS |= {"emdash": "—", "endash": "\u2013", "bullet": "•", "lquote": "\u2018", "rquote": "\u2019"}
_CHARACTERS |= {"ldblquote": "\u201c", "rdblquote": "\u201d", "emspace": " ", "enspace": " "}
_SYMBOLS = {"~": " ", "-": "", "_": "-", "\n": "\n\n", "\r": "\n\n"}


def read_rtf(data: bytes) -> tuple[str, str]:
    """`("", text)`; tables as `a | b`, fields by their result, pictures dropped."""
    text: list[str] = []
    encoded = bytearray()  # bytes of the code page, of which several can be one character
    groups: list[tuple[bool, int]] = []
    is_dropped, fallback, to_skip, code_page = False, 1, 0, "cp1252"

    def flush() -> None:
        if encoded:
            text.append(encoded.decode(code_page, "replace"))
            encoded.clear()

    for match in _TOKEN.finditer(data.decode("latin-1")):
        word, number, byte, symbol, brace, plain = match.groups()
        if byte is None:
            flush()
        if brace == "{":
            groups.append((is_dropped, fallback))
        elif brace == "}":
            is_dropped, fallback = groups.pop() if groups else (False, 1)
        elif word:
            if word in _DROPPED:
                is_dropped = True
            elif word == "ansicpg" and number and _is_code_page(f"cp{number}"):
                code_page = f"cp{number}"
            elif word == "uc":
                fallback = min(8, max(0, int(number or 1)))
            elif word == "u" and number and not is_dropped:
                text.append(_character(int(number)))
                to_skip = fallback
            elif word in _CHARACTERS and not is_dropped:
                text.append(_CHARACTERS[word])
        elif symbol == "*":
            is_dropped = True
        elif is_dropped:
            continue
        elif byte:
            if to_skip:
                to_skip -= 1
            else:
                encoded.append(int(byte, 16))
        elif symbol:
            text.append(_SYMBOLS.get(symbol, symbol))
        else:
            said = plain.replace("\r", "").replace("\n", "")
            text.append(said[to_skip:])
            to_skip = max(0, to_skip - len(said))
    flush()
    joined = "".join(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # halves of \u pairs meet
    return "", "\n".join(line.removesuffix(" | ").strip(" ") for line in joined.split("\n"))


def _character(number: int) -> str:
    return chr(number & 0xFFFF)


def _is_code_page(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True
