"""A byte-level BPE's vocabulary: the bytes of each id, and how they are merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from groundup.tokenizer.pretokenizer import PatternName

BYTES = 256
MAX_TOKENS = 1 << 24  # memory is taken for every id below the largest, used or not
SPECIAL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens, merges and special tokens, with ids in any order.

    Raises:
        ValueError: the parts do not fit together; the message says how.
    """

    tokens: Mapping[int, bytes]  # the bytes of each id, without special tokens
    merges: NDArray[np.int32]  # (merges, 2): the left and the right token of each, the first to be applied first
    special: Mapping[str, int]  # text and id of each special token
    pattern: PatternName
    whole_words: bool = False
    """A word that is a token becomes that token, whatever the merges would make of it (tiktoken; `ignore_merges`)."""

    nfc: bool = False
    """Texts are brought to Unicode's normal form C before they are cut into words, as Qwen's are."""

    made: NDArray[np.int32] = field(init=False)  # (merges,): the token that each merge makes
    byte_ids: NDArray[np.int32] = field(init=False)  # (256,): the token of each byte

    def __post_init__(self) -> None:
        ids = {token: number for number, token in self.tokens.items()}
        if len(ids) < len(self.tokens):
            raise ValueError("two tokens have the same bytes")
        if b"" in ids:
            raise ValueError("a token has no bytes")
        taken = [*self.tokens, *self.special.values()]
        if min(taken, default=0) < 0 or len(set(taken)) < len(taken):
            raise ValueError("an id is negative or given twice")
        if max(taken, default=0) >= MAX_TOKENS:
            raise ValueError(f"the id {max(taken):,} is beyond {MAX_TOKENS - 1:,}, the largest that is read")
        absent = [byte for byte in range(BYTES) if bytes([byte]) not in ids]
        if absent:
            raise ValueError(f"there is no token for the byte 0x{absent[0]:02x}")
        made = []
        for rank, (left, right) in enumerate(self.merges.tolist()):
            if left not in self.tokens or right not in self.tokens:
                raise ValueError(f"merge {rank} takes tokens that do not exist")
            together = self.tokens[left] + self.tokens[right]
            if together not in ids:
                raise ValueError(f"merge {rank} makes {together!r}, which is no token")
            made.append(ids[together])
        single = {ids[bytes([byte])] for byte in range(BYTES)}
        unmade = set(self.tokens) - single - set(made)
        if unmade and not self.whole_words:
            raise ValueError(f"no merge makes the token {self.tokens[min(unmade)]!r}")
        object.__setattr__(self, "made", np.array(made, dtype=np.int32))
        object.__setattr__(self, "byte_ids", np.array([ids[bytes([b])] for b in range(BYTES)], dtype=np.int32))

    @property
    def size(self) -> int:
        """One more than the highest id; ids below it may be unused."""
        return max([*self.tokens, *self.special.values()]) + 1


def trained(
    merges: NDArray[np.integer] | Sequence[tuple[int, int]],
    pattern: PatternName,
    special: Sequence[str] = SPECIAL_TOKENS,
) -> Vocabulary:
    """The numbering of groundup's own: the bytes, a token for each merge, then the special tokens.

    Raises:
        ValueError: a merge takes tokens that do not exist yet, or two make the same token.
    """
    pairs = np.asarray(merges, dtype=np.int32).reshape(-1, 2)
    tokens = [bytes([byte]) for byte in range(BYTES)]
    for left, right in pairs.tolist():
        if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
            raise ValueError(f"merge {len(tokens) - BYTES} takes tokens that do not exist yet")
        tokens.append(tokens[left] + tokens[right])
    if len(set(tokens)) < len(tokens):
        raise ValueError("two merges make the same token")
    return Vocabulary(
        dict(enumerate(tokens)), pairs, {text: len(tokens) + at for at, text in enumerate(special)}, pattern
    )
