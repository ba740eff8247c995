"""Text to token ids and back.

A text is cut into words by the pre-tokenizer's pattern, each word's UTF-8 bytes are merged, and the ids are joined. In
`encode` the text of a special token is plain text unless `special=True`, so that nobody can forge the end of a turn by
writing it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.tokenizer.batches import Texts, batch_of, batches, composed, padded, refuse_single, rows_of, well_formed
from groundup.tokenizer.encoding import Encoder
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.vocabulary import BYTES, SPECIAL_TOKENS, Vocabulary, trained
from groundup.tokenizer.word_counts import Words


class Tokenizer:
    """A byte-level BPE, groundup's own or one that was read from another project's files.

    >>> tokenizer = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=270)
    >>> tokenizer.decode(tokenizer.encode("the dog <|end|>"))
    'the dog <|end|>'
    >>> tokenizer.encode_batch(["the", "<|end|>"], special=True)
    [[258], [269]]

    Args:
        merges: (merges, 2), the left and the right token of each merge; merge i makes token 256 + i. The special
            tokens have the last ids. Or any vocabulary.
        pattern: the pre-tokenizer's pattern by name, for merges.

    Raises:
        ValueError: a merge of tokens that do not exist yet, or one that makes a token that exists.
    """

    def __init__(
        self,
        merges: NDArray[np.integer] | Sequence[tuple[int, int]] | Vocabulary,
        pattern: PatternName = "qwen2",
    ) -> None:
        self.vocabulary = merges if isinstance(merges, Vocabulary) else trained(merges, pattern)
        self.special_ids = dict(self.vocabulary.special)
        self._special = frozenset(self.special_ids.values())
        self._bytes = [b""] * self.vocabulary.size
        for token, spelled in self.vocabulary.tokens.items():
            self._bytes[token] = spelled
        for text, token in self.special_ids.items():
            self._bytes[token] = text.encode()
        longest_first = sorted(self.special_ids, key=len, reverse=True)
        one_of = b"|".join(re.escape(text.encode()) for text in longest_first)
        self._cut_special = re.compile(b"(" + one_of + b")") if one_of else None

    @classmethod
    def train(
        cls,
        texts: Texts,
        vocabulary: int = 4096,
        pattern: PatternName = "qwen2",
        min_frequency: int = 2,
        threads: int = 1,
    ) -> "Tokenizer":
        """Learn a tokenizer from texts (Sennrich et al., arXiv 1508.07909; on bytes as in GPT-2).

        >>> Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=270).merges[:2].tolist()
        [[97, 116], [104, 101]]

        Args:
            texts: strings, bytes, or an Arrow array of either; read once.
            vocabulary: tokens in all, including the 256 bytes and the six special tokens. Little text gives fewer.
            pattern: the pre-tokenizer's pattern; no merge crosses the cuts that it makes.
            min_frequency: a pair of tokens seen less often than this is never merged.
            threads: how many threads count words; the outcome is the same.

        Raises:
            GroundupError: the vocabulary has no room for the bytes and the special tokens.
        """
        from groundup.tokenizer.bpe import train_merges
        from groundup.tokenizer.word_counts import count_words

        merges = vocabulary - BYTES - len(SPECIAL_TOKENS)
        if merges < 0:
            raise GroundupError(
                f"a vocabulary of {vocabulary} has no room for the {BYTES} bytes and the special tokens",
                do=f"give it {BYTES + len(SPECIAL_TOKENS)} tokens or more",
            )
        return cls(train_merges(count_words(texts, pattern, threads), merges, min_frequency).pairs, pattern)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a `tokenizer.json`, groundup's own or another byte-level BPE's; `interchange` reads other formats.

        Raises:
            GroundupError: the file is corrupt, or holds what would give other ids here than there; the message says
                what.
        """
        from groundup.tokenizer.interchange.tokenizer_json import read

        return cls(read(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that the `tokenizers` library loads, with the same ids and the same decoding."""
        from groundup.tokenizer.interchange.tokenizer_json import write

        write(self.vocabulary, Path(path))

    def __repr__(self) -> str:
        return f"Tokenizer(vocabulary={self.vocabulary_size}, pattern={self.pattern!r})"

    @property
    def merges(self) -> NDArray[np.int32]:
        """(merges, 2), the left and the right token of each merge."""
        return self.vocabulary.merges

    @property
    def pattern(self) -> PatternName:
        return self.vocabulary.pattern

    @property
    def vocabulary_size(self) -> int:
        return len(self._bytes)

    @property
    def end_of_text(self) -> int:
        return self._special_id("<|endoftext|>")

    @property
    def pad(self) -> int:
        return self._special_id("<|pad|>")

    @property
    def system(self) -> int:
        return self._special_id("<|system|>")

    @property
    def user(self) -> int:
        return self._special_id("<|user|>")

    @property
    def assistant(self) -> int:
        return self._special_id("<|assistant|>")

    @property
    def end(self) -> int:
        return self._special_id("<|end|>")

    def _special_id(self, text: str) -> int:
        try:
            return self.special_ids[text]
        except KeyError:
            raise GroundupError(
                f"the tokenizer has no special token {text}", do="use one that groundup trained, or add it to this one"
            ) from None

    @cached_property
    def byte_lengths(self) -> NDArray[np.int64]:
        """(vocabulary,) bytes of text of each token; special tokens have none."""
        lengths = np.fromiter(map(len, self._bytes), dtype=np.int64, count=len(self._bytes))
        lengths[list(self._special)] = 0
        return lengths

    def encode(self, text: str | bytes, special: bool = False) -> list[int]:
        """The ids of `text`. With `special`, the text of a special token becomes that token.

        Bytes may be any, and lone surrogates in a string become U+FFFD: `decode_bytes` gives back what went in, in
        normal form C if the vocabulary is of that form.
        """
        if special and self._cut_special is not None:
            return self._encode_special(self._cut_special.split(_bytes_of(text)))
        ids, _ = self._encoder.encode(batch_of([self._normal(text)]))
        return ids.tolist()

    def encode_batch(self, texts: Iterable[str | bytes], special: bool = False, threads: int = 1) -> list[list[int]]:
        """The ids of each text, as `encode` gives them.

        Args:
            special: the text of a special token becomes that token.
            threads: how many threads encode; the outcome is the same.
        """
        refuse_single(texts)
        if special:
            return [self.encode(text, special=True) for text in texts]
        ids, offsets = self.encode_many(texts, threads)
        return [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]

    def encode_many(self, texts: Texts, threads: int = 1) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ids of all texts in a row, and (texts + 1,) offsets of where each text's begin.

        Special tokens' text is taken as plain text.

        Args:
            texts: strings, bytes, or an Arrow array of either, which is read in place.
            threads: how many threads encode; the outcome is the same.
        """
        ids, offsets, count = [np.empty(0, dtype=np.int32)], [np.zeros(1, dtype=np.int64)], 0
        for some, bounds in self.encode_batches(texts, threads):
            ids.append(some)
            offsets.append(bounds[1:] + count)
            count += len(some)
        return np.concatenate(ids), np.concatenate(offsets)

    def encode_batches(self, texts: Texts, threads: int = 1) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """`encode_many` a few MB of text at a time, for more text than memory holds."""
        refuse_single(texts)
        if self.vocabulary.nfc:
            texts = map(self._normal, rows_of(texts))
        if threads == 1:
            yield from map(self._encoder.encode, batches(texts))
            return
        running: list[Future[tuple[NDArray[np.int32], NDArray[np.int64]]]] = []
        with ThreadPoolExecutor(threads) as pool:
            for batch in batches(texts):
                running.append(pool.submit(self._encoder.encode, batch))
                if len(running) > 2 * threads:
                    yield running.pop(0).result()
            for one in running:
                yield one.result()

    def encode_words(self, words: Iterable[str | bytes] | Words) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `encode_many`, for words: none is cut by the pattern."""
        if isinstance(words, Words):
            batch = padded(words.text, words.offsets)
        else:
            batch = batch_of(list(map(_bytes_of, words)))
        return self._encoder.encode(batch, whole=True)

    def _normal(self, text: str | bytes) -> bytes:
        """The bytes that are cut into words."""
        return composed(_bytes_of(text)) if self.vocabulary.nfc else _bytes_of(text)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.vocabulary)

    def _encode_special(self, parts: list[bytes]) -> list[int]:
        """The ids of texts and, between any two of them, a special token."""
        ids, offsets = self._encoder.encode(batch_of(list(map(self._normal, parts[::2]))))
        joined = ids[: offsets[1]].tolist()
        for at, part in enumerate(parts[1::2], 1):
            joined.append(self.special_ids[part.decode()])
            joined += ids[offsets[at] : offsets[at + 1]].tolist()
        return joined

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, a special token's text in UTF-8; raises ValueError for an id out of range.

        Ids that the vocabulary leaves unused have none.
        """
        if not 0 <= token < len(self._bytes):
            raise ValueError(f"token {token} is not in the vocabulary of {len(self._bytes)}")
        return self._bytes[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of all tokens in a row; raises ValueError for an id out of range."""
        return b"".join(map(self.token_bytes, ids))

    def decode(self, ids: Iterable[int], skip_special: bool = False) -> str:
        """The text of the tokens; bytes that are no UTF-8 become U+FFFD. `skip_special` leaves special tokens out."""
        kept = (token for token in ids if not (skip_special and token in self._special))
        return self.decode_bytes(kept).decode("utf-8", "replace")

    def is_special(self, token: int) -> bool:
        return token in self._special


def _bytes_of(text: str | bytes) -> bytes:
    return well_formed(text) if isinstance(text, str) else text
