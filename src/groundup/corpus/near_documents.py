"""Where a text comes from: the training documents nearest to it, with their source, licence and address.

    words of the text and of the question -> BM25 over all training documents -> the 32 best
    of these first the one that has the longest run of the text's words, and where nothing is copied the best by BM25

BM25 (Robertson and Zaragoza 2009) needs no index here: one pass over the documents' bytes counts the words asked for,
at some hundred megabytes a second. A common run of a few words says little; one of ten was read in training. What the
model learnt elsewhere, in fine-tuning or from another corpus, is not found.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.documents import Document, NearDocument, part_paths, read_batches
from groundup.corpus.duplicates.minhash import PADDING, Words, hash_words
from groundup.corpus.duplicates.normal_form import MOST_GROWTH, FormTable, normalised, table, write_form
from groundup.errors import GroundupError
from groundup.kernels.arrow import Bytes, Offsets, buffers, longest_text
from groundup.kernels.compilation import kernel

if TYPE_CHECKING:
    import pyarrow as pa

CANDIDATES = 32  # the best by BM25, in which common words are looked for
MIN_RUN = 4  # words in a row; shorter runs are chance and don't decide which document comes first
MAX_BYTES = 1_000_000_000  # of the documents' files: more would take minutes
MAX_CHARACTERS = 4000  # of the text and of the question
MAX_WORDS = 96  # that are looked for; the longest, which are seldom common ones
COLUMNS = ("id", "text", "title", "source", "origin", "licence", "url")
EXCERPT = 240  # characters of a document that are shown
K1, B = 1.2, 0.75  # BM25's usual saturation and length normalisation
_WORD = re.compile(r"\w+")


def nearest(documents: Path, text: str, question: str = "", count: int = 3) -> list[NearDocument]:
    """The training documents nearest to a text, the nearest first; fewer where few have a word of it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from groundup.corpus.documents import Document, write_documents
    >>> kept = Document("1", "Join two or more path components.", "join", "docs", "a.md", "MIT", "train")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_documents(Path(folder), [kept])
    ...     found = nearest(Path(folder), "Join two or more paths")
    >>> found[0].title, found[0].common
    ('join', 'Join two or more')

    Args:
        documents: the folder `documents` of a `curate` artifact.
        question: what the text answers; its words count as much as the text's.

    Raises:
        GroundupError: the documents can't be read, or are too many to look through.
    """
    size = sum(path.stat().st_size for path in part_paths(documents))
    if size > MAX_BYTES:
        what = f"{size / 1e9:.1f} GB of documents are too many to look through for each answer"
        raise GroundupError(what, where=str(documents))
    text = text[:MAX_CHARACTERS]
    best = _best(documents, f"{question[:MAX_CHARACTERS]} {text}")
    near = [_near(document, best[number], text) for number, document in _picked(documents, set(best))]
    near.sort(key=lambda one: (-one.common_words, -one.score, one.id))
    return near[:count]


def _best(documents: Path, text: str) -> dict[int, float]:
    """BM25 of the best training documents for the words of a text, by their number."""
    import pyarrow as pa

    words = sorted(set(normalised(text).split()), key=lambda word: (-len(word), word))[:MAX_WORDS]
    if not words:
        return {}
    keys = np.unique(hash_text(*buffers(pa.array([" ".join(words)], pa.string())), table(False)))
    counts, lengths, training = [], [], []
    for batch in _batches(documents, ["text", "split"]):
        counted, sizes = count_words(*buffers(batch.column("text")), table(False), keys)
        counts.append(counted)
        lengths.append(sizes)
        training.append(np.array([split == "train" for split in batch.column("split").to_pylist()], dtype=bool))
    counts_NW, lengths_N, training_N = np.concatenate(counts), np.concatenate(lengths), np.concatenate(training)
    total = int(training_N.sum())
    if not total:
        return {}
    having_W = (counts_NW[training_N] > 0).sum(0)
    rarity_W = np.log1p((total - having_W + 0.5) / (having_W + 0.5))
    saturation_N = K1 * (1 - B + B * lengths_N / max(1.0, float(lengths_N[training_N].mean())))
    scores_N = np.zeros(len(lengths_N))
    for word, rarity in enumerate(rarity_W):
        scores_N += rarity * counts_NW[:, word] * (K1 + 1) / (counts_NW[:, word] + saturation_N)
    scores_N[~training_N] = 0
    best = np.argsort(-scores_N, kind="stable")[:CANDIDATES]
    return {int(number): float(scores_N[number]) for number in best if scores_N[number] > 0}


def _picked(documents: Path, numbers: set[int]) -> Iterator[tuple[int, Document]]:
    """The documents with these numbers."""
    first = 0
    for batch in _batches(documents, COLUMNS):
        for number in sorted(numbers & set(range(first, first + batch.num_rows))):
            yield number, Document(**batch.slice(number - first, 1).to_pylist()[0])
        first += batch.num_rows


def _batches(documents: Path, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
    for path in part_paths(documents):
        yield from read_batches(path, columns)


def _near(document: Document, score: float, text: str) -> NearDocument:
    theirs, ours = list(_WORD.finditer(document.text)), list(_WORD.finditer(text))
    run = _longest_run([one[0].casefold() for one in theirs], [one[0].casefold() for one in ours])
    start, end = (theirs[run[0]].start(), theirs[run[0] + run[1] - 1].end()) if run[1] else (0, 0)
    is_common = run[1] >= MIN_RUN
    return NearDocument(
        document.id,
        document.title,
        document.source,
        document.origin,
        document.licence,
        document.url,
        score,
        _excerpt(document.text, start, end),
        document.text[start:end] if is_common else "",
        run[1] if is_common else 0,
    )


def _longest_run(theirs: Sequence[str], ours: Sequence[str]) -> tuple[int, int]:
    """`(first, words)` in `theirs` of the longest run that both have."""
    match = SequenceMatcher(None, ours, theirs, autojunk=False).find_longest_match()
    return match.b, match.size


def _excerpt(text: str, start: int, end: int) -> str:
    """About `EXCERPT` characters around a part of a text, on one line, cut between words."""
    first = max(0, start - max(0, EXCERPT - (end - start)) // 2)
    last = min(len(text), first + EXCERPT)
    while 0 < first < start and not text[first - 1].isspace():
        first += 1
    while end < last < len(text) and not text[last].isspace():
        last -= 1
    shown = " ".join(text[first:last].split())
    return ("… " if first > 0 else "") + shown + (" …" if last < len(text) else "")


# ---- compiled ----


@kernel
def hash_text(data: Bytes, offsets: Offsets, forms: FormTable) -> Words:
    """The hashes of the words of one text, in their order."""
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    return words[: hash_words(form, write_form(data, offsets[0], offsets[1], forms, form), words)].copy()


@kernel
def count_words(
    data: Bytes, offsets: Offsets, forms: FormTable, keys: Words
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """How often each text has each of some words, [texts, keys], and how many words it has, [texts].

    Args:
        keys: hashes of words, rising.
    """
    texts, size = len(offsets) - 1, len(keys)
    longest = longest_text(offsets)
    form = np.empty(longest * MOST_GROWTH + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    counts, lengths = np.zeros((texts, size), np.uint16), np.zeros(texts, np.int64)
    for text in range(texts):
        lengths[text] = hash_words(form, write_form(data, offsets[text], offsets[text + 1], forms, form), words)
        for at in range(lengths[text]):
            low, high = 0, size
            while low < high:
                middle = (low + high) // 2
                if keys[middle] < words[at]:
                    low = middle + 1
                else:
                    high = middle
            if low < size and keys[low] == words[at] and counts[text, low] < 65_535:
                counts[text, low] += 1
    return counts, lengths
