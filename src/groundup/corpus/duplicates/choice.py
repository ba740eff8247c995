"""Which documents stay: best first, each is compared with those that stay in its groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.sets import Numbers, ShingleSets, similarity
from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import helper, kernel

_NEEDED = 16  # sets that are asked for at a time, at most: most documents go with the first comparison


@dataclass(frozen=True, slots=True)
class Survivors:
    """What became of each document."""

    instead: Numbers  # [documents] the document that stays instead; -1: it stays itself
    similarity: NDArray[np.float64]  # [documents] to it; 0 for those that stay
    compared: int  # pairs


def choose(
    in_turn: Offsets,
    groups: Numbers,
    total: int,
    first_own: int,
    sets: ShingleSets,
    threshold: float,
) -> Survivors:
    """Go through the documents of each component, best first.

    Args:
        in_turn: documents in the order in which they are looked at; documents are numbered best first, and those of
            one component are together and rise.
        groups: [bands, documents] the group of each, from 1; 0: none.
        total: how many groups there are.
        first_own: documents below it stay whatever they resemble.
        sets: where the shingles come from.
        threshold: least Jaccard similarity of two documents of which one goes.
    """
    bands, documents = groups.shape
    heads = np.full(total + 1, -1, dtype=np.int32)
    nexts = np.empty((bands, documents), dtype=np.int32)  # only those of documents that stay are ever touched
    seen = np.zeros(documents, dtype=np.int32)
    instead = np.full(documents, -1, dtype=np.int32)
    found = np.zeros(documents)
    candidates = np.empty(documents, dtype=np.int32)
    needed = np.empty(_NEEDED, dtype=np.int64)
    state = np.array([0, -1, 0, 0], dtype=np.int64)
    ends = np.cumsum(sets.counts[in_turn])
    at = 0
    while at < len(in_turn):
        held = ends[at - 1] if at else 0
        end = int(np.searchsorted(ends, held + sets.block_room, side="right"))
        sets.load(in_turn[at:end])
        while at < end:
            at = _choose(
                in_turn, at, end, groups, heads, nexts, seen, candidates, first_own, threshold,
                sets.shingles, sets.starts, sets.lengths, instead, found, needed, state,
            )  # fmt: skip
            if at < end:
                sets.visit(needed[: state[_ASKED]].copy())
    return Survivors(instead, found, int(state[_COMPARED]))


# ---- compiled ----

# What is kept between calls: how often candidates were collected, the last candidate of the document at hand that was
# compared with it, how many sets are needed, and how many pairs were compared.
_ROUND, _AFTER, _ASKED, _COMPARED = 0, 1, 2, 3


@kernel
def group_equal(keys: NDArray[np.uint64], by_key: Offsets, first_own: int, group: Numbers, groups: int) -> int:
    """Number the groups of documents that have equal keys.

    Args:
        keys: [documents] of one band.
        by_key: the documents sorted by key, those with equal keys rising.
        first_own: documents below it are of earlier corpora; a group of such alone is none.
        group: [documents] zeros; filled with each document's group, from 1; 0 stays where no other has the key.
        groups: how many groups there are already.

    Returns:
        How many groups there are now.
    """
    first = 0
    while first < by_key.size:
        last = first + 1
        while last < by_key.size and keys[by_key[last]] == keys[by_key[first]]:
            last += 1
        if last - first > 1 and by_key[last - 1] >= first_own:
            groups += 1
            for at in range(first, last):
                group[by_key[at]] = groups
        first = last
    return groups


@kernel
def _choose(
    in_turn: Offsets, at: int, end: int, groups: Numbers, heads: Numbers, nexts: Numbers, seen: Numbers,
    candidates: Numbers, first_own: int, threshold: float, shingles: NDArray[np.uint32], starts: Offsets,
    lengths: Offsets, instead: Numbers, found: NDArray[np.float64], needed: Offsets, state: Offsets,
) -> int:  # fmt: skip
    """Continue from `in_turn[at]`; returns `end`, or the position of a document for which sets are needed first."""
    while at < end:
        document = in_turn[at]
        kept = True
        if document >= first_own:
            count = _collect(document, groups, heads, nexts, seen, candidates, state)
            for position in range(count):
                other = candidates[position]
                if other <= state[_AFTER]:
                    continue
                if starts[other] < 0:
                    state[_ASKED] = 0
                    while position < count and state[_ASKED] < needed.size:
                        if starts[candidates[position]] < 0:
                            needed[state[_ASKED]] = candidates[position]
                            state[_ASKED] += 1
                        position += 1
                    return at
                state[_COMPARED] += 1
                value = similarity(
                    shingles, starts[document], lengths[document], starts[other], lengths[other], threshold
                )
                state[_AFTER] = other
                if value >= threshold:
                    instead[document], found[document] = other, value
                    kept = False
                    break
        if kept:
            for band in range(groups.shape[0]):
                group = groups[band, document]
                if group:
                    nexts[band, document] = heads[group]
                    heads[group] = document
        state[_AFTER] = -1
        at += 1
    return at


@helper
def _collect(
    document: int, groups: Numbers, heads: Numbers, nexts: Numbers, seen: Numbers, candidates: Numbers, state: Offsets
) -> int:
    """Write the documents that stay in any of the document's groups to `candidates`, rising; returns how many."""
    state[_ROUND] += 1
    count = 0
    for band in range(groups.shape[0]):
        group = groups[band, document]
        if group == 0:
            continue
        other = heads[group]
        while other >= 0:
            if seen[other] != state[_ROUND]:
                seen[other] = state[_ROUND]
                candidates[count] = other
                count += 1
            other = nexts[band, other]
    candidates[:count].sort()
    return count
