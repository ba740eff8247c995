"""Text to token ids and back.

    tokenizer = Tokenizer.load("tokenizer.json")
    ids = tokenizer.encode("What does os.path.join do?")
    assert tokenizer.decode(ids) == "What does os.path.join do?"

A text is cut into words by the pre-tokenizer's pattern, each word's UTF-8 bytes are merged, and the ids are joined.
Words come again and again, so the ids of those seen are kept. Special tokens have the last ids of the vocabulary; in
`encode` their text is plain text unless `special=True`, so that nobody can forge the end of a turn by writing it.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from groundup.tokenizer.bpe import BYTES
from groundup.tokenizer.encoding import LONG_WORD, Encoder
from groundup.tokenizer.pretokenizer import PatternName, compile_pattern, well_formed

SPECIAL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CACHED_WORDS = 1 << 18  # at about 200 bytes each


class Tokenizer:
    """A byte-level BPE with groundup's special tokens.

    Args:
        merges: (merges, 2), the left and the right token of each merge; merge i makes token 256 + i.
        pattern: the pre-tokenizer's pattern by name.

    Raises:
        ValueError: a merge of tokens that do not exist yet, or one that makes a token that exists.
    """

    def __init__(self, merges: NDArray[np.integer] | Sequence[tuple[int, int]], pattern: PatternName = "qwen2") -> None:
        self.merges = np.asarray(merges, dtype=np.int32).reshape(-1, 2)
        self.pattern: PatternName = pattern
        self._bytes = [bytes([byte]) for byte in range(BYTES)]
        for left, right in self.merges.tolist():
            if not (0 <= left < len(self._bytes) and 0 <= right < len(self._bytes)):
                raise ValueError(f"merge {len(self._bytes) - BYTES} takes tokens that do not exist yet")
            self._bytes.append(self._bytes[left] + self._bytes[right])
        if len(set(self._bytes)) < len(self._bytes):
            raise ValueError("two merges make the same token")
        self._first_special = len(self._bytes)
        self._bytes += [token.encode() for token in SPECIAL_TOKENS]
        self.special_ids = {token: self._first_special + at for at, token in enumerate(SPECIAL_TOKENS)}
        self._cut = compile_pattern(pattern).findall
        self._cut_special = regex.compile("(" + "|".join(map(regex.escape, SPECIAL_TOKENS)) + ")").split
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a `tokenizer.json` that `save` wrote; raises GroundupError for a corrupt one or somebody else's."""
        from groundup.tokenizer.interchange import read

        return read(Path(path))

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that the `tokenizers` library loads, with the same ids and the same decoding."""
        from groundup.tokenizer.interchange import write

        write(self, Path(path))

    @property
    def vocabulary_size(self) -> int:
        return len(self._bytes)

    @property
    def end_of_text(self) -> int:
        return self.special_ids["<|endoftext|>"]

    @property
    def pad(self) -> int:
        return self.special_ids["<|pad|>"]

    @property
    def system(self) -> int:
        return self.special_ids["<|system|>"]

    @property
    def user(self) -> int:
        return self.special_ids["<|user|>"]

    @property
    def assistant(self) -> int:
        return self.special_ids["<|assistant|>"]

    @property
    def end(self) -> int:
        return self.special_ids["<|end|>"]

    @cached_property
    def byte_lengths(self) -> NDArray[np.int64]:
        """(vocabulary,) bytes of text that each token stands for; special tokens stand for none."""
        lengths = np.fromiter(map(len, self._bytes), dtype=np.int64, count=len(self._bytes))
        lengths[self._first_special :] = 0
        return lengths

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of `text`. With `special`, the text of a special token becomes that token."""
        text = well_formed(text)
        if not special:
            return list(chain.from_iterable(self._words(self._cut(text))))
        ids: list[int] = []
        for part in self._cut_special(text):
            if part in self.special_ids:
                ids.append(self.special_ids[part])
            else:
                ids += chain.from_iterable(self._words(self._cut(part)))
        return ids

    def encode_many(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """The ids of each text, special tokens' text taken as plain text."""
        return [
            np.fromiter(chain.from_iterable(self._words(self._cut(well_formed(text)))), dtype=np.int32)
            for text in texts
        ]

    def encode_words(self, words: Iterable[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of words as the pattern cuts them, all in a row, and (words + 1,) offsets. No cache is used."""
        return self._encoder.encode_words([word.encode() for word in words])

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.merges)

    def _words(self, words: list[str]) -> Sequence[list[int]]:
        """The ids of each word. Safe to call from several threads: a word not found in the cache is encoded anew."""
        known = list(map(self._cache.get, words))
        if None not in known:
            return known  # type: ignore[return-value]  # mypy does not see that None is not among them
        missing = list(dict.fromkeys(word for word, ids in zip(words, known, strict=True) if ids is None))
        encoded, offsets = self.encode_words(missing)
        all_ids, bounds = encoded.tolist(), offsets.tolist()
        fresh = {word: all_ids[bounds[at] : bounds[at + 1]] for at, word in enumerate(missing)}
        if len(self._cache) + len(fresh) > CACHED_WORDS:
            self._cache.clear()
        self._cache.update((word, ids) for word, ids in fresh.items() if len(word) <= LONG_WORD)
        return [fresh[word] if ids is None else ids for word, ids in zip(words, known, strict=True)]

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, a special token's text in UTF-8; raises ValueError for an id out of range."""
        if not 0 <= token < len(self._bytes):
            raise ValueError(f"token {token} is not in the vocabulary of {len(self._bytes)}")
        return self._bytes[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of all tokens in a row; raises ValueError for an id out of range."""
        return b"".join(map(self.token_bytes, ids))

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """The text of the tokens; bytes that are no UTF-8 become U+FFFD. `skip_special` leaves special tokens out."""
        kept = (token for token in ids if token < self._first_special or not skip_special)
        return self.decode_bytes(kept).decode("utf-8", "replace")

    def is_special(self, token: int) -> bool:
        return token >= self._first_special
