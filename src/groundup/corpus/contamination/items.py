"""Evaluation sets as n-grams that can be looked up.

    {"question": "Natalia sold clips to 48 of her friends in April, ...", "answer": "... #### 72"}

Each text of an item is brought into the normal form in which documents are compared, with its digits. If it has as
many words as an n-gram, every n-gram of it is looked for; if it has fewer, the whole text is, unless it has fewer than
`least_words`. An answer is looked for in the same way; one that is too short for it is looked for only in documents in
which another text of its item was found, and reported there.

What is looked for is keyed by a hash of its first words (as many as the shortest of all has), so that one rolling hash
over a document asks for all lengths at once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.contamination.configuration import Contamination, EvaluationSet
from groundup.corpus.contamination.matches import Matches, stretches
from groundup.corpus.contamination.search import NgramTable, hash_starts, make_table, search
from groundup.corpus.duplicates.minhash import PADDING
from groundup.corpus.duplicates.normal_form import normalise, table
from groundup.corpus.sources.streams import bounded_lines, open_stream
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError
from groundup.kernels.arrow import Bytes, Offsets, buffers

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, ANSWER = 0, 1
_LINE_LIMIT = 64 << 20  # bytes
_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.bz2")
_BATCH = 4096  # texts that are normalised at a time


@dataclass(frozen=True, slots=True)
class EvaluationItem:
    """One line of an evaluation set."""

    set: str
    file: str  # its name, without folders
    line: int  # from 1
    id: str  # what the set itself calls it; empty without such a column


@dataclass(frozen=True)
class EvaluationItems:
    """Evaluation sets, ready to be looked for."""

    config: Contamination
    items: list[EvaluationItem]
    too_short: list[int]  # items of which nothing can be looked for
    words: Bytes  # the normal forms of all texts in a row
    item_of: NDArray[np.int32]  # [texts]
    kind_of: NDArray[np.uint8]  # [texts] TEXT or ANSWER
    words_of: NDArray[np.int64]  # [texts] how many each has
    table: NgramTable  # of all that is looked for
    short_answers: dict[int, list[str]] = field(default_factory=dict)  # item -> answers in their normal form

    @staticmethod
    def load(config: Contamination, base: Path = Path()) -> "EvaluationItems":
        """Read all sets.

        Args:
            config: the sets and what counts as a match.
            base: where relative paths start.

        Raises:
            GroundupError: a file can't be read, a line is no JSON object or lacks a column, or a set has no item.
        """
        items: list[EvaluationItem] = []
        texts: list[tuple[int, int, str]] = []
        for one in config.sets:
            before = len(items)
            for item, found in _read_set(one, base / one.path):
                texts += [(len(items), kind, text) for kind, text in found]
                items.append(item)
            if len(items) == before:
                raise GroundupError(
                    "holds no items", where=str(base / one.path), do="correct curate.contamination.sets"
                )
        return _prepared(config, items, texts)

    @staticmethod
    def of_texts(name: str, texts: Sequence[Sequence[str]]) -> "EvaluationItems":
        """Items that are no lines of a file, with the texts of each, as one set of this name."""
        items = [EvaluationItem(name, "", number, "") for number in range(1, len(texts) + 1)]
        every = [(item, TEXT, text) for item, some in enumerate(texts) for text in some]
        return _prepared(Contamination(), items, every)

    def find(self, texts: "pa.Array") -> Matches:
        """Where items occur in documents.

        Args:
            texts: strings without nulls; a few MB, for the work takes ten times their memory.
        """
        data, offsets = buffers(texts)
        rows, found, words = search(data, offsets, table(False), self.table, self.words)
        starts = self.table.starts
        begin, first, last = stretches(rows, starts.text[found], words, starts.words[found])
        rows, text = rows[begin], starts.text[found[begin]]
        items, kinds = self.item_of[text], self.kind_of[text]
        whole = last - first >= self.words_of[text]
        return Matches(rows, items, kinds, whole, self._answered(texts, rows, items), first, last)

    def _answered(self, texts: "pa.Array", rows: Offsets, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether a short answer of the item occurs in the document as well."""
        answered = np.zeros(len(rows), dtype=bool)
        forms: dict[int, str] = {}
        for at, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
            if item in self.short_answers:
                if row not in forms:
                    forms[row] = f" {normalise(texts.slice(row, 1), False)[0].as_py()} "
                answered[at] = any(f" {answer} " in forms[row] for answer in self.short_answers[item])
        return answered


def _prepared(
    config: Contamination, items: list[EvaluationItem], texts: Sequence[tuple[int, int, str]]
) -> EvaluationItems:
    """The items with everything that is looked for in a table."""
    forms, ends = _normal_forms([text for _, _, text in texts])
    item_of = np.array([item for item, _, _ in texts], dtype=np.int32)
    kind_of = np.array([kind for _, kind, _ in texts], dtype=np.uint8)
    key_words = min(config.least_words, config.ngram_words)
    starts = hash_starts(forms, ends, config.ngram_words, key_words)
    looked_for = np.zeros(len(texts), dtype=bool)
    looked_for[starts.text] = True
    reached = np.zeros(len(items), dtype=bool)
    reached[item_of[looked_for]] = True
    short: dict[int, list[str]] = {}
    for at in np.flatnonzero(~looked_for & (kind_of == ANSWER)).tolist():
        answer = forms[ends[at] : ends[at + 1]].tobytes().decode()
        if answer:
            short.setdefault(int(item_of[at]), []).append(answer)
    lookup = make_table(starts)
    spaces = np.concatenate(([0], np.cumsum(forms == ord(" "))))
    words_of = spaces[ends[1:]] - spaces[ends[:-1]] + (np.diff(ends) > 0)
    return EvaluationItems(
        config, items, np.flatnonzero(~reached).tolist(), forms, item_of, kind_of, words_of, lookup, short
    )


def _normal_forms(texts: list[str]) -> tuple[Bytes, Offsets]:
    """`(normal forms in a row with PADDING bytes after, where each starts and the last one ends)`."""
    import pyarrow as pa

    parts, ends = [], [np.zeros(1, dtype=np.int64)]
    for start in range(0, len(texts), _BATCH):
        data, offsets = buffers(normalise(pa.array(texts[start : start + _BATCH], pa.large_string()), False))
        parts.append(data[offsets[0] : offsets[-1]])
        ends.append(offsets[1:] - offsets[0] + ends[-1][-1])
    return np.concatenate([*parts, np.zeros(PADDING, dtype=np.uint8)]), np.concatenate(ends)


def _read_set(one: EvaluationSet, path: Path) -> Iterator[tuple[EvaluationItem, list[tuple[int, str]]]]:
    """Each item with its texts, as `(TEXT or ANSWER, text)`."""
    name = one.name or path.name
    for file in _files(path):
        try:
            with open_stream(file) as stream:
                for number, _, line in bounded_lines(stream, _LINE_LIMIT):
                    if isinstance(line, UnreadableError):
                        raise line
                    where = f"{file}:{number}"
                    row = _parsed(line, where)
                    id_ = str(_column(row, one.id, where)) if one.id else ""
                    found = [(TEXT, text) for column in one.texts for text in _strings(row, column, where)]
                    if one.answer:
                        found += [(ANSWER, text) for text in _strings(row, one.answer, where)]
                    yield EvaluationItem(name, file.name, number, id_), found
        except UnreadableError as error:
            raise GroundupError(
                f"can't be read ({error.rule}: {error.detail})", where=str(file), do="correct or replace it"
            ) from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.lower().endswith(_SUFFIXES))
        if not found:
            raise GroundupError("holds no .jsonl file", where=str(path), do="correct curate.contamination.sets")
        return found
    if not path.exists():
        raise GroundupError("evaluation set not found", where=str(path), do="correct curate.contamination.sets")
    return [path]


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:  # also of bytes that are no UTF-8
        raise GroundupError(f"is no JSON ({error})", where=where, do="give one JSON object a line") from error
    if not isinstance(row, dict):
        raise GroundupError(f"is a JSON {type(row).__name__}", where=where, do="give one JSON object a line")
    return row


def _column(row: dict[str, Any], column: str, where: str) -> Any:
    if column not in row:
        has = ", ".join(sorted(row))
        raise GroundupError(
            f"has no `{column}`", where=where, do=f"name one of its columns ({has}) in curate.contamination.sets"
        )
    return row[column]


def _strings(row: dict[str, Any], column: str, where: str) -> list[str]:
    """The texts in a column: a string, a number, or a list of such."""
    value = _column(row, column, where)
    values = value if isinstance(value, list) else [value]
    if any(not isinstance(one, (str, int, float)) for one in values):
        raise GroundupError(f"`{column}` is no text", where=where, do="name a column of strings or lists of strings")
    return [str(one) for one in values]
