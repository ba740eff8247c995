"""Decoding while tokens arrive."""

import codecs
from collections.abc import Iterable

from groundup.tokenizer.tokenizer import Tokenizer


class StreamDecoder:
    """Gives out text as soon as its characters are whole; a token may end in the middle of one.

    What `feed` and `finish` return joins to `tokenizer.decode` of all ids.

    >>> tokenizer = Tokenizer.train([])  # bytes only: "é" is two tokens
    >>> stream = StreamDecoder(tokenizer)
    >>> [stream.feed(token) for token in tokenizer.encode("né")]
    ['n', '', 'é']
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: int | Iterable[int]) -> str:
        """The text that one more id, or some, complete; it may be empty."""
        tokens = (ids,) if isinstance(ids, int) else ids
        kept = (token for token in tokens if not (self._skip_special and self._tokenizer.is_special(token)))
        return self._utf8.decode(self._tokenizer.decode_bytes(kept))

    def finish(self) -> str:
        """U+FFFD where the last character never became whole; the decoder can then be used again."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
