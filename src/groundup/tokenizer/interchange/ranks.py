"""Which two tokens each token of a list of ranks is made of.

tiktoken knows no merges: of all neighbours in a word that together are a token, it joins those whose token has the
least rank. But a token always comes about in one way: what happens within its bytes depends on them alone, as long as
nothing joins them with their neighbours, and then it does not come about. So its last two parts are those that
its bytes, by themselves, are joined to.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import lean_kernel
from groundup.tokenizer.batches import batch_of
from groundup.tokenizer.encoding import (
    LONG_WORD,
    Merger,
    Scratch,
    merge_long,
    merge_short,
    merged_of,
    scratch_for,
    slot_of,
)
from groundup.tokenizer.vocabulary import BYTES


def merges_of_ranks(ranks: Mapping[int, bytes]) -> NDArray[np.int32]:
    """(merges, 2): the two tokens that each token is made of, by rank, where every token's rank is its id.

    A token that its bytes are never joined to has none.

    Raises:
        ValueError: a byte has no token.
    """
    ids = {token: rank for rank, token in ranks.items()}
    absent = [byte for byte in range(BYTES) if bytes([byte]) not in ids]
    if absent:
        raise ValueError(f"there is no token for the byte 0x{absent[0]:02x}")
    order = [rank for rank in sorted(ranks) if len(ranks[rank]) > 1]
    words = batch_of([ranks[rank] for rank in order])
    table = np.full((1 << max(4, (2 * len(order)).bit_length()), 2), -1, dtype=np.int64)
    byte_ids = np.array([ids[bytes([byte])] for byte in range(BYTES)], dtype=np.int32)
    merger = Merger(byte_ids, table, np.empty(0, dtype=np.int64))
    pairs = np.full((len(order), 2), -1, dtype=np.int32)
    _learn(*words, np.array(order, dtype=np.int64), merger, scratch_for(max(map(len, ranks.values()))), pairs)
    without = [ranks[order[at]] for at in np.flatnonzero(pairs[:, 0] < 0)]
    if any(token[:at] in ids and token[at:] in ids for token in without for at in range(1, len(token))):
        # Some token's parts have a higher rank than itself, which no training brings about: take the long way.
        for at, rank in enumerate(order):
            pairs[at] = _last_two(ranks[rank], ids)
    return pairs[pairs[:, 0] >= 0]


@lean_kernel
def _learn(text: NDArray, offsets: NDArray, ranks: NDArray, merger: Merger, scratch: Scratch, pairs: NDArray) -> None:
    """Join each token's bytes with the tokens of less rank; if two are left, that is what it is made of."""
    pairs_at, mask = np.int64(merger.pairs.ctypes.data), merger.pairs.shape[0] - 1
    for token in range(ranks.size):
        size = offsets[token + 1] - offsets[token]
        for at in range(size):
            scratch.tokens[at] = merger.byte_ids[text[offsets[token] + at]]
        if size <= LONG_WORD:
            for at in range(size - 1):
                one, other = np.int64(scratch.tokens[at]), np.int64(scratch.tokens[at + 1])
                scratch.merged[at] = merged_of(pairs_at, mask, one, other)
            left = merge_short(size, merger, scratch)
        else:
            left = merge_long(size, merger, scratch)
        if left == 2:
            one, other = np.int64(scratch.tokens[0]), np.int64(scratch.tokens[1])
            slot = slot_of(pairs_at, mask, one, other)
            merger.pairs[slot, 0], merger.pairs[slot, 1] = (one << 32) | other, (ranks[token] << 32) | ranks[token]
            pairs[token, 0], pairs[token, 1] = one, other


def _last_two(token: bytes, ids: Mapping[bytes, int]) -> tuple[int, int]:
    """The last two parts that a token's bytes are joined to before they are the token; -1, -1 if they never are."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [(ids[left + right], at) for at, (left, right) in enumerate(pairwise(parts)) if left + right in ids]
        if not joined:
            return -1, -1
        _, at = min(joined)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return ids[parts[0]], ids[parts[1]]
