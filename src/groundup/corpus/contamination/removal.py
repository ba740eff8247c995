"""Taking the paragraphs of matches out of documents, and the account of what was found for which item.

The account has a row for each match: the set, the line and id of the item, the document, and the bytes of its text
in which the match lies, as far as the paragraphs around it reach.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.corpus.contamination.items import ANSWER, EvaluationItems
from groundup.corpus.contamination.matches import Matches
from groundup.corpus.duplicates.normal_form import normalise
from groundup.kernels.arrow import Offsets

if TYPE_CHECKING:
    import pyarrow as pa

_BLANK_LINES = re.compile(rb"\n(?:[ \t\r]*\n)+")


@dataclass(frozen=True, slots=True)
class Cut:
    """Documents without the paragraphs in which matches lie, one row each."""

    texts: "pa.Array"
    paragraphs: Offsets  # how many were removed
    bytes: Offsets  # that these had
    words_left: Offsets  # -1 where nothing was removed


def locate(texts: "pa.Array", matches: Matches) -> tuple[Offsets, Offsets]:
    """[matches] the bytes of each text, from and to, of the paragraphs that a match touches."""
    starts, ends = np.zeros(len(matches), dtype=np.int64), np.zeros(len(matches), dtype=np.int64)
    for row in np.unique(matches.rows).tolist():
        paragraphs = _Paragraphs(texts[row].as_py().encode())
        for at in np.flatnonzero(matches.rows == row):
            first, last = paragraphs.touched(matches.first[at], matches.last[at])
            starts[at], ends[at] = paragraphs.spans[first][0], paragraphs.spans[last][1]
    return starts, ends


def cut(texts: "pa.Array", matches: Matches) -> Cut:
    """The documents without every paragraph that a match touches; paragraphs are what blank lines separate."""
    import pyarrow as pa

    removed, sizes = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int64)
    words = np.full(len(texts), -1)
    changed: dict[int, str] = {}
    for row in np.unique(matches.rows).tolist():
        text = texts[row].as_py().encode()
        paragraphs = _Paragraphs(text)
        goes = np.zeros(len(paragraphs.spans), dtype=bool)
        for at in np.flatnonzero(matches.rows == row):
            first, last = paragraphs.touched(matches.first[at], matches.last[at])
            goes[first : last + 1] = True
        left = b""
        for number in np.flatnonzero(~goes).tolist():  # with the blank lines that follow
            start, following = paragraphs.spans[number][0], [*paragraphs.spans, (len(text), 0)][number + 1][0]
            left += text[start:following]
        removed[row] = goes.sum()
        sizes[row] = sum(end - start for (start, end), gone in zip(paragraphs.spans, goes, strict=True) if gone)
        words[row] = np.diff(paragraphs.ends)[~goes].sum()
        changed[row] = left.rstrip().decode()
    if not changed:
        return Cut(texts, removed, sizes, words)
    left_over = [changed.get(row, text) for row, text in enumerate(texts.to_pylist())]
    return Cut(pa.array(left_over, texts.type), removed, sizes, words)


class _Paragraphs:
    """Where the paragraphs of a text lie, and which words of its normal form are whose."""

    def __init__(self, text: bytes) -> None:
        import pyarrow as pa

        cuts = [(match.start(), match.end()) for match in _BLANK_LINES.finditer(text)]
        starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)]
        self.spans = list(zip(starts, ends, strict=True))
        forms = normalise(pa.array([text[start:end].decode() for start, end in self.spans]), False).to_pylist()
        self.ends = np.cumsum([0, *(form.count(" ") + bool(form) for form in forms)])  # words before each

    def touched(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last paragraph of the words from `first` to before `last`."""
        found = np.searchsorted(self.ends, (first, last - 1), side="right") - 1
        return int(found[0]), int(found[1])


def account_schema() -> "pa.Schema":
    """The columns of the account."""
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("set", "file", "item", "document", "found")]
    numbers = [(name, pa.int64()) for name in ("line", "words", "start", "end")]
    return pa.schema([*texts, *numbers, ("whole", pa.bool_()), ("answered", pa.bool_())])


def account(items: EvaluationItems, texts: "pa.Array", matches: Matches, documents: Sequence[str]) -> "pa.RecordBatch":
    """A row for each match.

    Args:
        items: what was looked for.
        texts: the documents as they were searched.
        matches: what was found.
        documents: the ids of the texts.
    """
    import pyarrow as pa

    found = [items.items[item] for item in matches.items.tolist()]
    starts, ends = locate(texts, matches)
    columns: dict[str, Any] = {
        "set": [one.set for one in found],
        "file": [one.file for one in found],
        "item": [one.id for one in found],
        "document": [documents[row] for row in matches.rows.tolist()],
        "found": ["answer" if kind == ANSWER else "text" for kind in matches.kinds.tolist()],
        "line": [one.line for one in found],
        "words": matches.last - matches.first,
        "start": starts,
        "end": ends,
        "whole": matches.whole,
        "answered": matches.answered,
    }
    return pa.RecordBatch.from_pydict(columns, schema=account_schema())


def summary(items: EvaluationItems, accounts: Iterable["pa.RecordBatch"]) -> list[dict[str, Any]]:
    """For each set: its items, those too short to be looked for, those found, and in how many documents."""
    found: dict[str, set[tuple[str, int]]] = {}
    documents: dict[str, set[str]] = {}
    for batch in accounts:
        for row in batch.select(["set", "file", "line", "document"]).to_pylist():
            found.setdefault(row["set"], set()).add((row["file"], row["line"]))
            documents.setdefault(row["set"], set()).add(row["document"])
    short = Counter(items.items[item].set for item in items.too_short)
    return [
        {
            "set": name,
            "items": count,
            "too_short": short[name],
            "found": len(found.get(name, ())),
            "documents": len(documents.get(name, ())),
        }
        for name, count in Counter(item.set for item in items.items).items()
    ]
