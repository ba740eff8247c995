"""Texts with planted copies, and brute force over all pairs, for all tests of this folder."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from groundup.corpus.documents import document_id
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintWriter
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.duplicates.near import duplicates_of, find
from groundup.corpus.duplicates.search import FINGERPRINTS, ROWS, DuplicateSearch
from groundup.corpus.engine import DataEngine
from groundup.corpus.finished import part_folder
from groundup.corpus.phases import Phases
from groundup.progress import Silent


def shingles(text: str, size: int, digits_alike: bool | None = False) -> set[tuple[str, ...]]:
    """Sets of word tuples, by another way of normalising than the one under test."""
    letters = [c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn"]
    words = re.sub(r"[\W_]+", " ", "".join(letters)).split()
    if digits_alike:
        words = [re.sub(r"\d", "0", word) for word in words]
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def all_pairs(sets: Sequence[set]) -> dict[tuple[int, int], float]:
    """The similarity of every pair that has an element in common, as `(larger index, smaller index)`."""
    having: dict[object, list[int]] = {}
    common: Counter[tuple[int, int]] = Counter()
    for at, one in enumerate(sets):
        for element in one:
            others = having.setdefault(element, [])
            common.update((at, other) for other in others)
            others.append(at)
    return {(i, j): count / (len(sets[i]) + len(sets[j]) - count) for (i, j), count in common.items()}


def altered(text: str, changes: int, random: np.random.Generator) -> str:
    """`text` with that many words replaced by words that are nowhere else."""
    words = text.split()
    for at in random.choice(len(words), changes, replace=False):
        words[at] = "q" + "".join(map(chr, random.integers(97, 123, 9)))
    return " ".join(words)


def numbers_of(ids: Sequence[str]) -> np.ndarray:
    return np.array([[int(one[:16], 16), int(one[16:], 16)] for one in ids], dtype=np.uint64).reshape(-1, 2)


def in_parts(texts: Sequence[str], cuts: Sequence[int], folder: Path, config: NearDuplicates) -> int:
    """Fingerprints and rows of texts, in parts that end at `cuts`; how many parts these are."""
    ends = [*cuts, len(texts)]
    for number, (first, last) in enumerate(zip([0, *cuts], ends, strict=True)):
        part = part_folder(folder, number)
        part.mkdir(parents=True)
        with FingerprintWriter(part / FINGERPRINTS, config) as writer:
            writer.write(pa.array(texts[first:last], pa.string()))
        some = texts[first:last]
        sizes = np.array([len(text.encode()) for text in some], dtype=np.int64)
        CandidateRows(numbers_of([document_id(text) for text in some]), sizes).save(part / ROWS)
    return len(ends)


class Found(NamedTuple):
    """What a search says of all documents, in columns of equal length."""

    rows: np.ndarray  # rising
    kept: np.ndarray  # -1 - row for a document of an earlier corpus
    similarity: np.ndarray
    exact: np.ndarray
    compared: int
    candidates: int


def prepared(
    texts: Sequence[str], folder: Path, config: NearDuplicates, cuts: Sequence[int] = (), earlier: Sequence[str] = (),
    range_documents: int = 1 << 20,
) -> DuplicateSearch:  # fmt: skip
    """The search of texts."""
    before = in_parts(earlier, [], folder / "earlier", config) if earlier else 0
    own = in_parts(texts, cuts, folder / "own", config)
    search = DuplicateSearch(
        folder / "search", config, folder / "own", own, folder / "earlier", before, range_documents=range_documents
    )
    search.prepare()
    return search


def here(folder: Path) -> Phases:
    return Phases(DataEngine(), folder, Silent())


def searched(search: DuplicateSearch) -> Found:
    """What `find` says."""
    figures = find(search, here(search.folder))
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for part in range(search.earlier_parts, search.parts):
        found = duplicates_of(search, part)
        kept = np.where(found.kept < search.before, -1 - found.kept, found.kept - search.before)
        start = search.starts[part] - search.before
        for column, more in zip(columns, (found.rows + start, kept, found.similarity, found.exact), strict=True):
            column.append(more)
    assert all(len(duplicates_of(search, part)) == 0 for part in range(search.earlier_parts))
    return Found(*map(np.concatenate, columns), figures["compared"], figures["candidates"])


def search(
    texts: Sequence[str], folder: Path, config: NearDuplicates, cuts: Sequence[int] = (), earlier: Sequence[str] = (),
    range_documents: int = 1 << 20,
) -> Found:  # fmt: skip
    """What `find` says of texts."""
    return searched(prepared(texts, folder, config, cuts, earlier, range_documents))


def triples(found: Found) -> Iterator[tuple[int, int, float]]:
    return zip(found.rows.tolist(), found.kept.tolist(), found.similarity.tolist(), strict=True)
