"""Files of lines and of JSON that are in UTF-16 or UTF-32, read as UTF-8, in which a newline is one byte.

They are known by a byte-order mark, or by the NUL bytes of two ASCII characters at the beginning (RFC 4627, section 3).
"""

import codecs

from groundup.corpus.sources.streams import ByteStream, again

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NULS = {"0001": "utf-32-be", "1000": "utf-32-le", "0101": "utf-16-be", "1010": "utf-16-le"}
LOOKED_AT = 4


def wide_encoding(start: bytes) -> str:
    """The encoding by a file's first four bytes; empty where it is none of these."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    return _NULS.get("".join("1" if byte else "0" for byte in start[:LOOKED_AT]), "")


def in_utf8(stream: ByteStream) -> tuple[ByteStream, bool]:
    """The stream in UTF-8, and whether it was in another encoding. What can't be decoded becomes U+FFFD.

    Raises:
        UnreadableError: of the stream.
    """
    start = b""
    while len(start) < LOOKED_AT and (more := stream.read()):
        start += more
    stream = again(start, stream)
    name = wide_encoding(start)
    if not name:
        return stream, False
    decoder = codecs.getincrementaldecoder(name)("replace")

    def read(size: int) -> bytes:
        while data := stream.read(size):
            if text := decoder.decode(data):
                return text.encode("utf-8", "replace")
        return decoder.decode(b"", final=True).encode("utf-8", "replace")

    return ByteStream(read), True
