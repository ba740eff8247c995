"""Groups of documents with equal keys, and the components that groups which share a document make up (compiled)."""

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Offsets
from groundup.kernels.compilation import Integer, helper, kernel

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int32]


@kernel
def mark_equal(keys: Keys, by_key: Offsets, first_own: int, marks: NDArray[np.bool_]) -> None:
    """Mark the documents that are in a group.

    Args:
        keys: [documents] of one band.
        by_key: the documents sorted by key, those with equal keys rising.
        first_own: documents below it are of earlier corpora; a group of such alone is none.
        marks: [documents] changed in place.
    """
    first = 0
    while first < by_key.size:
        last = _group_end(keys, by_key, first)
        if last - first > 1 and by_key[last - 1] >= first_own:
            for at in range(first, last):
                marks[by_key[at]] = True
        first = last


@kernel
def group_equal(keys: Keys, by_key: Offsets, first_own: int, group: Numbers, groups: int, parents: Numbers) -> int:
    """Integer the groups of documents that have equal keys, and join the members of each.

    Args:
        keys: [documents] of one band.
        by_key: the documents sorted by key, those with equal keys rising.
        first_own: documents below it are of earlier corpora; a group of such alone is none.
        group: [documents] zeros; filled with each document's group, from 1; 0 stays where no other has the key.
        groups: how many groups there are already.
        parents: [documents] the forest of the components, changed in place; a root is its smallest member.

    Returns:
        How many groups there are now.
    """
    first = 0
    while first < by_key.size:
        last = _group_end(keys, by_key, first)
        if last - first > 1 and by_key[last - 1] >= first_own:
            groups += 1
            root = _root(parents, by_key[first])
            for at in range(first, last):
                group[by_key[at]] = groups
                other = _root(parents, by_key[at])
                if other < root:
                    root, other = other, root
                parents[other] = root
        first = last
    return groups


@kernel
def roots(parents: Numbers) -> Numbers:
    """[documents] the smallest member of each document's component."""
    found = np.empty_like(parents)
    for document in range(parents.size):
        found[document] = _root(parents, document)
    return found


@helper
def _group_end(keys: Keys, by_key: Offsets, first: int) -> Integer:
    """After the last document with the key of `by_key[first]`."""
    last = first + 1
    while last < by_key.size and keys[by_key[last]] == keys[by_key[first]]:
        last += 1
    return last


@helper
def _root(parents: Numbers, document: Integer) -> Integer:
    """The root of a document's tree, with the path to it halved."""
    while parents[document] != document:
        parents[document] = parents[parents[document]]
        document = np.int64(parents[document])
    return document
