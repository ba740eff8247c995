"""Texts with planted copies, and brute force over all pairs, for all tests of this folder."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from groundup.corpus.documents import document_id
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.fingerprints import FingerprintWriter
from groundup.corpus.duplicates.near import Duplicates, best_first, find


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


def in_parts(texts: Sequence[str], cuts: Sequence[int], folder: Path, config: NearDuplicates) -> list[Path]:
    """Fingerprints of texts, in parts that end at `cuts`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(texts)], strict=True)):
        paths.append(folder / f"part-{number}")
        with FingerprintWriter(paths[-1], config) as writer:
            writer.write(pa.array(texts[first:last], pa.string()))
    return paths


def order_of(texts: Sequence[str]) -> np.ndarray:
    sizes = np.array([len(text.encode()) for text in texts], dtype=np.int64)
    return best_first(sizes, numbers_of([document_id(text) for text in texts]))


def search(
    texts: Sequence[str], folder: Path, config: NearDuplicates, cuts: Sequence[int] = (), earlier: Sequence[str] = ()
) -> Duplicates:
    """What `find` says of texts, the longest first."""
    before = in_parts(earlier, [], folder / "earlier", config) if earlier else []
    return find(in_parts(texts, cuts, folder, config), order_of(texts), config, before)


def triples(found: Duplicates) -> Iterator[tuple[int, int, float]]:
    return zip(found.rows.tolist(), found.kept.tolist(), found.similarity.tolist(), strict=True)
