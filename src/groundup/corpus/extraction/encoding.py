"""Bytes to text where nobody knows, or somebody says wrongly, what character set they are in.

In order: byte-order mark; UTF-8 if the bytes are valid (no other set is by chance, and it is often declared to be
another); what the web server or the page declares; UTF-8 with a few broken characters; the frequencies of the bytes.
Names mean what browsers take them to mean: `iso-8859-1` is windows-1252, `gb2312` is gb18030.
"""

import codecs
import re

from groundup.corpus.sources.unreadable import UnreadableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Within the first kilobyte, as browsers look for it: <meta charset=...>, <meta http-equiv content="...; charset=...">,
# and the declaration of XML.
_DECLARED = re.compile(rb"""(?i)(?:<meta\s[^>]*?charset|<\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([\w:.-]+)""")
_DECLARED_WITHIN = 1024
_LOOKED_AT = 1 << 16  # bytes whose frequencies are counted
_BROKEN = 0.01  # broken characters per character beyond ASCII that a text may have and still be taken for UTF-8
# Control characters that no text file holds: all but tab, newline, vertical tab, form feed, carriage return, escape.
_CONTROLS = bytes({*range(9), *range(14, 27), *range(28, 32), 127})
_MOST_CONTROLS = 0.01


def decode(data: bytes, encoding: str = "auto", declared: str | None = None, page: bool = False) -> str:
    """`data` as text.

    Args:
        data: a whole document.
        encoding: a character set to be taken without question, or `auto`.
        declared: what the web server said, if one did.
        page: `data` is HTML or XML, and may declare its own.

    Raises:
        UnreadableError: `binary`; `invalid-utf-8` or `invalid-encoding` where `encoding` is named and wrong;
            `unknown-encoding`.
    """
    if encoding != "auto":
        return _as_named(data, encoding)
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(data, name) or data.decode(name, "replace")
    if b"\0" in data:
        found = _utf16_without_mark(data)
        if found is None:
            raise UnreadableError("binary", "it holds NUL bytes", float(data.index(b"\0")))
        return found
    text = _strict(data, "utf-8")
    if text is None:
        text = _not_utf8(data, declared, page)
    # No sign of it in UTF-8: a text with escape codes and the like stays one, and `clean` takes them out.
    elif len(text) and _control_fraction(data) > _MOST_CONTROLS:
        raise UnreadableError("binary", "it is full of control characters", _control_fraction(data), _MOST_CONTROLS)
    return text


def _as_named(data: bytes, encoding: str) -> str:
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    if name == "utf-8-sig" and b"\0" in data:
        raise UnreadableError("binary", "it holds NUL bytes", float(data.index(b"\0")))
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        rule = "invalid-utf-8" if name == "utf-8-sig" else "invalid-encoding"
        raise UnreadableError(rule, f"no {encoding} at byte {error.start}", float(error.start)) from error


def _not_utf8(data: bytes, declared: str | None, page: bool) -> str:
    """What is neither marked nor valid UTF-8.

    Raises:
        UnreadableError: `binary` or `unknown-encoding`.
    """
    fraction = _control_fraction(data)
    if fraction > _MOST_CONTROLS:
        raise UnreadableError("binary", "it is full of control characters", fraction, _MOST_CONTROLS)
    said = [declared] if declared else []
    if page and (found := _DECLARED.search(data[:_DECLARED_WITHIN])):
        said.append(found[1].decode("ascii", "replace"))
    for name in said:
        text = _strict(data, _html_name(name))
        if text is not None:
            return text
    text = _mostly_utf8(data)
    if text is not None:
        return text
    text = _by_frequencies(data)
    if text is None:
        raise UnreadableError("unknown-encoding", f"not UTF-8, and no other character set fits {said or ''}".rstrip())
    return text


def _strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _html_name(name: str) -> str:
    from resiliparse.parse.encoding import map_encoding_to_html5

    return map_encoding_to_html5(name, False) or name


def _mostly_utf8(data: bytes) -> str | None:
    """UTF-8 with a broken character here or there: cut off at the end, or pasted in from elsewhere."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(1 for character in text if character > "\x7f") - broken
    return text if broken <= max(1, _BROKEN * whole) and whole > broken else None


def _by_frequencies(data: bytes) -> str | None:
    """By the frequencies of bytes: Resiliparse is quick, and charset-normalizer knows more character sets."""
    from resiliparse.parse.encoding import detect_encoding

    guess = detect_encoding(data, max_len=_LOOKED_AT)
    if guess is not None and guess != "utf-8" and (text := _strict(data, guess)) is not None:
        return text
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_LOOKED_AT]).best()
    # Stateful and rare sets are guessed for noise as readily as for text.
    return None if best is None or best.encoding == "utf_7" else _strict(data, best.encoding)


def _utf16_without_mark(data: bytes) -> str | None:
    """UTF-16 of mostly Latin text: every other byte is NUL."""
    sample = data[: 1 << 12]
    for name, high in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        low = sample[::2] if name == "utf-16-le" else sample[1::2]
        if high and high.count(0) > 0.4 * len(high) and not low.count(0) and not len(data) % 2:
            text = _strict(data, name)
            if text is not None and "\0" not in text:
                return text
    return None


def _control_fraction(data: bytes) -> float:
    return (len(data) - len(data.translate(None, _CONTROLS))) / max(1, len(data))
