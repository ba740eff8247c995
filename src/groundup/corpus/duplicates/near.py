"""Exact and near-duplicates among all documents, found in their fingerprints alone.

What is dropped is defined without regard to files, partitions or the order of the input:

    All documents occur in one order, the best first (`best_first`); those of earlier corpora are before all others.
    One after the other, a document is dropped if it is a duplicate of a better one that is kept, and kept otherwise.
    It is dropped for one with the same bytes, or else for the best one. A document of an earlier corpus is always kept.
    Two documents are duplicates if their bytes are the same, or if they agree in all rows of at least one band of
    their signatures and their sets of shingles have a Jaccard similarity of at least the threshold.

So a document is only ever dropped for one that is kept and truly similar to it, never because a chain of others lies
between them. A cluster is a document that is kept, with those that are dropped for it.

The work goes in two steps, so that memory depends on the number of documents and not on their length:

    1. Band by band, keys are sorted; documents with equal keys form a group, and whoever is in none is left alone.
       Groups that share a document are joined (union-find), for no comparison leads out of such a component.
    2. Component by component, best first, every document is compared with those kept in its groups. The shingles of a
       block of components are read in the order in which they lie in the files, and made into sorted sets.

About 50 bytes are held for each document, 250 more for each that shares a key with another, and `SETS` shingles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.duplicates.choice import choose
from groundup.corpus.duplicates.components import group_equal, mark_equal, roots
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintFile
from groundup.corpus.duplicates.sets import ShingleSets
from groundup.progress import Progress, Silent

RowNumbers = NDArray[np.int64]

SETS = 24 << 20  # shingles in memory at a time
_CHOOSING = 40  # how much of the progress comparing is; sorting one band is 1


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Documents that go, because others say the same."""

    rows: RowNumbers  # rising; counted over all part files
    kept: RowNumbers  # the document that stays instead; -1 - row for one of an earlier corpus, over its part files
    similarity: NDArray[np.float64]  # Jaccard similarity of the two; 1 for exact duplicates
    exact: NDArray[np.bool_]  # their bytes are the same
    compared: int  # pairs whose sets were compared
    candidates: int  # documents that shared a band key with another

    def __len__(self) -> int:
        return len(self.rows)


def best_first(
    sizes: NDArray[np.int64], ids: NDArray[np.uint64], quality: NDArray[np.float32] | None = None
) -> RowNumbers:
    """Row numbers, the best document first: the higher quality, then the longer text, then the smaller id.

    Args:
        sizes: [documents] bytes of the texts.
        ids: [documents, 2] as numbers; equal ids are equal texts, and of these the first row comes first.
        quality: [documents] scores; NaN, where there is none, comes last.
    """
    keys = [ids[:, 1], ids[:, 0], -sizes]
    if quality is not None:
        keys.append(-np.where(np.isnan(quality), -np.inf, quality))
    return np.lexsort(keys)


def find(
    parts: Sequence[Path],
    order: RowNumbers,
    config: NearDuplicates,
    earlier: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Duplicates:
    """The documents to be dropped as duplicates of others.

    Args:
        parts: part files of fingerprints.
        order: the documents that take part, the best first, as rows counted over `parts`.
        config: bands, rows and threshold.
        earlier: part files of corpora whose documents always stay.
        progress: where to show the work.

    Raises:
        GroundupError: a part file can't be read, or was made with other settings.
    """
    progress = progress or Silent()
    files = [FingerprintFile(path, config) for path in (*earlier, *parts)]
    before = sum(file.documents for file in files[: len(earlier)])
    ranked = np.concatenate([np.arange(before), np.asarray(order, dtype=np.int64) + before])
    with progress.task("comparing documents", 2 * config.bands + _CHOOSING, "steps") as task:
        instead, similarity = _same_digest(files, ranked)
        instead[:before] = -1
        exact = instead >= 0
        # Now documents are numbered again: those that are left, have shingles and share a key, the best first.
        offsets = [file.offsets() for file in files]
        has_shingles = np.concatenate([np.zeros(0, bool), *(np.diff(own) > 0 for own in offsets)])[ranked]
        numbers = np.flatnonzero(~exact & has_shingles)
        among, first_own = ranked[numbers], int(np.searchsorted(numbers, before))
        shared = np.zeros(len(among), dtype=bool)
        for band in range(config.bands):
            keys = _keys(files, band, among)
            mark_equal(keys, np.argsort(keys, kind="stable"), first_own, shared)
            task.advance()
        numbers = numbers[shared]
        among, first_own = ranked[numbers], int(np.searchsorted(numbers, before))
        groups = np.zeros((config.bands, len(among)), dtype=np.int32)
        parents = np.arange(len(among), dtype=np.int32)
        total = 0
        for band in range(config.bands):
            keys = _keys(files, band, among)
            total = group_equal(keys, np.argsort(keys, kind="stable"), first_own, groups[band], total, parents)
            task.advance()
        del keys
        in_turn = np.argsort(roots(parents), kind="stable")
        sets = ShingleSets(files, offsets, among, SETS)
        del offsets, parents
        choice = choose(
            in_turn,
            groups,
            total,
            first_own,
            sets,
            config.threshold,
            lambda fraction: task.advance(_CHOOSING * fraction),
        )
    gone = np.flatnonzero(choice.instead >= 0)
    instead[numbers[gone]] = numbers[choice.instead[gone]]
    similarity[numbers[gone]] = choice.similarity[gone]
    # An exact duplicate of a document that goes itself goes for the one that stays, like that.
    twice = exact & (instead[instead] >= 0)
    exact &= ~twice
    similarity[twice] = similarity[instead[twice]]
    instead[twice] = instead[instead[twice]]
    dropped = np.flatnonzero(instead >= 0)
    dropped = dropped[np.argsort(ranked[dropped])]
    kept = ranked[instead[dropped]]
    kept = np.where(kept < before, -1 - kept, kept - before)
    return Duplicates(ranked[dropped] - before, kept, similarity[dropped], exact[dropped], choice.compared, len(among))


def _keys(files: Sequence[FingerprintFile], band: int, among: RowNumbers) -> NDArray[np.uint64]:
    """[among] the keys of one band."""
    keys: NDArray[np.uint64] = np.concatenate([np.zeros(0, np.uint64), *(file.band(band) for file in files)])[among]
    return keys


def _same_digest(files: Sequence[FingerprintFile], ranked: RowNumbers) -> tuple[RowNumbers, NDArray[np.float64]]:
    """`(the best other document with the same digest, by rank; -1 for that one itself, similarity)`."""
    digests = np.concatenate([np.zeros((0, 2), np.uint64), *(file.digests() for file in files)])[ranked]
    by_digest = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of equal ones the best is the first
    digests = digests[by_digest]
    is_first = np.ones(len(ranked), dtype=bool)
    is_first[1:] = (digests[1:] != digests[:-1]).any(axis=1)
    firsts = by_digest[is_first]
    instead = np.empty(len(ranked), dtype=np.int64)
    instead[by_digest] = np.where(is_first, -1, firsts[np.cumsum(is_first) - 1])
    return instead, (instead >= 0).astype(np.float64)
