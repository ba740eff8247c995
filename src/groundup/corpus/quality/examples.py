"""Texts that are called good or bad: read, sampled, and parted into those to learn from and those to measure with.

Everything goes by the SHA-256 of a text: which texts are drawn, which are in the held-out set, and their order. So
neither the order of the files nor how they are cut changes the model, and a text never is on both sides.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.clean import clean
from groundup.corpus.documents import Dropped
from groundup.corpus.quality.configuration import QualityTraining
from groundup.errors import GroundupError
from groundup.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

GOOD = frozenset({"1", "true", "good", "high", "hq", "__label__good", "__label__hq", "__label__1"})
BAD = frozenset({"0", "false", "bad", "low", "cc", "__label__bad", "__label__cc", "__label__0"})
_MOST_BYTES = 8_000_000  # longer texts are skipped, and counted
_REST = "repeated or not drawn"
_ROWS = 256  # rows of a parquet file in memory at a time


@dataclass(frozen=True)
class Examples:
    """Labelled texts, in the order of their SHA-256."""

    texts: "pa.Array"  # strings without nulls
    good: NDArray[np.bool_]  # [texts]
    digests: NDArray[np.uint64]  # [texts] the first 64 bits of the SHA-256, rising
    skipped: dict[str, int]  # why texts that were found are not here -> how many

    def __len__(self) -> int:
        return len(self.good)

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        import pyarrow as pa

        return Examples(self.texts.take(pa.array(rows)), self.good[rows], self.digests[rows], self.skipped)

    def parted(self, heldout: float) -> "tuple[Examples, Examples]":
        """`(training, held-out)`; a text is held-out if its digest is below this fraction of all numbers."""
        aside = self.digests < np.uint64(min(heldout * 2.0**64, 2.0**64 - 2048))
        return self.take(np.flatnonzero(~aside)), self.take(np.flatnonzero(aside))

    def counts(self) -> dict[str, Any]:
        """JSON-ready: documents, how many are good, what was skipped."""
        return {"documents": len(self), "good": int(self.good.sum()), "skipped": self.skipped}


class _Drawn:
    """The texts of one label, at most `most`: those with the smallest digests, whatever the order they come in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._largest: list[tuple[int, bytes]] = []  # a heap: the largest digest, negative, is first
        self.texts: dict[bytes, str] = {}

    def add(self, text: str) -> None:
        digest = sha256(text.encode()).digest()
        if digest in self.texts:
            return
        order = -int.from_bytes(digest, "big")
        if len(self.texts) < self._most:
            heapq.heappush(self._largest, (order, digest))
        elif order > self._largest[0][0]:
            del self.texts[heapq.heappushpop(self._largest, (order, digest))[1]]
        else:
            return
        self.texts[digest] = text


def read_examples(
    config: QualityTraining, base: Path, crawl: Iterable[str] = (), progress: Progress | None = None
) -> Examples:
    """The examples that a configuration names.

    Args:
        config: labelled, good and bad files, and how many documents are drawn.
        base: relative paths start here.
        crawl: texts of the sources that are curated: the bad ones, where `good` is without `bad`.
        progress: where to show the reading.

    Raises:
        GroundupError: a file is missing or unreadable, a row has no such column or no known label, or there are not
            both good and bad texts.
    """
    drawn = {True: _Drawn(config.documents), False: _Drawn(config.documents)}
    skipped: Counter[str] = Counter()

    def add(text: str, good: bool) -> None:
        text = clean(text)
        if not text.strip():
            skipped["no text"] += 1
        elif len(text.encode()) > _MOST_BYTES:
            skipped["too large"] += 1
        else:
            skipped[_REST] += 1  # until it is known which texts are taken
            drawn[good].add(text)

    for path in config.labelled:
        for text, good in _labelled(path, base, config):
            add(text, good)
    for paths, good in ((config.good, True), (config.bad, False)):
        for path in paths:
            for text in _unlabelled(path, base, config, skipped, progress):
                add(text, good)
    if config.good and not config.bad:
        for text in crawl:
            add(text, False)
    skipped[_REST] -= sum(len(some.texts) for some in drawn.values())
    return _joined(drawn, skipped)


def labelled(good: Iterable[str], bad: Iterable[str]) -> Examples:
    """Examples of texts in memory.

    Raises:
        GroundupError: there are not both good and bad texts.
    """
    most = QualityTraining.model_fields["documents"].default
    drawn = {True: _Drawn(most), False: _Drawn(most)}
    for texts, is_good in ((good, True), (bad, False)):
        for text in texts:
            if cleaned := clean(text).strip():
                drawn[is_good].add(cleaned)
    return _joined(drawn, Counter())


def _joined(drawn: dict[bool, _Drawn], skipped: Counter[str]) -> Examples:
    import pyarrow as pa

    both = drawn[True].texts.keys() & drawn[False].texts.keys()
    if both:
        skipped["called both good and bad"] += 2 * len(both)
    rows = [(digest, text, good) for good, some in drawn.items() for digest, text in some.texts.items()]
    rows = sorted(row for row in rows if row[0] not in both)
    good = np.array([row[2] for row in rows], dtype=np.bool_)
    if good.all() or not good.any():
        raise GroundupError(
            f"{int(good.sum())} good and {int((~good).sum())} bad texts were found",
            where="quality.train",
            do="give examples of both kinds",
        )
    digests = np.array([int.from_bytes(row[0][:8], "big") for row in rows], dtype=np.uint64)
    return Examples(
        pa.array([row[1] for row in rows], pa.large_string()),
        good,
        digests,
        {reason: skipped[reason] for reason in sorted(skipped) if skipped[reason]},
    )


def label_of(value: Any, where: str) -> bool:
    """Whether a label says good.

    Raises:
        GroundupError: it says neither good nor bad.
    """
    value_text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
    if value_text in GOOD:
        return True
    if value_text in BAD:
        return False
    raise GroundupError(
        f"the label {value!r} says neither good nor bad",
        where=where,
        do="labels are 1, true, good, high or hq, and 0, false, bad, low or cc",
    )


def _labelled(path: Path, base: Path, config: QualityTraining) -> Iterator[tuple[str, bool]]:
    """`(text, whether it is good)` of each row of a jsonl or parquet file."""
    from groundup.corpus.sources.unreadable import UnreadableError

    full = base / path.expanduser()
    if not full.is_file():
        raise GroundupError("no such file", where=str(path), do=f"correct the path; it starts at {base}")
    rows = _parquet_rows(full, config) if full.suffix.lower() == ".parquet" else _json_rows(full)
    try:
        for position, row in rows:
            for column in (config.text, config.label):
                if row.get(column) is None:
                    raise GroundupError(
                        f"there is no {column!r}; the columns are {', '.join(row) or 'none'}",
                        where=position,
                        do="name the columns with `text:` and `label:`",
                    )
            if not isinstance(row[config.text], str):
                raise GroundupError(f"{config.text!r} holds no text", where=position, do="name the column with `text:`")
            yield row[config.text], label_of(row[config.label], position)
    except UnreadableError as error:
        raise GroundupError(
            f"can't be read ({error.rule}: {error})", where=str(path), do="labelled files are jsonl or parquet"
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from groundup.corpus.sources.streams import bounded_lines, open_stream
    from groundup.corpus.sources.unreadable import UnreadableError

    with open_stream(path) as stream:
        for number, _, line in bounded_lines(stream, 2 * _MOST_BYTES):
            position = f"{path}:{number}"
            if isinstance(line, UnreadableError):
                raise GroundupError(
                    f"can't be read ({line.rule})", where=position, do="fix or remove the line"
                ) from line
            try:
                row = json.loads(line)
            except ValueError as error:
                raise GroundupError(f"is no JSON ({error})", where=position, do="fix or remove the line") from error
            if not isinstance(row, dict):
                raise GroundupError("is no JSON object", where=position, do="fix or remove the line")
            yield position, row


def _parquet_rows(path: Path, config: QualityTraining) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in (config.text, config.label) if name in names]
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=wanted if len(wanted) == 2 else names):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="give a parquet file") from error


def _unlabelled(
    path: Path, base: Path, config: QualityTraining, skipped: Counter[str], progress: Progress | None
) -> Iterator[str]:
    """The texts of a file or folder, read as `curate.sources` are."""
    from groundup.corpus.sources import read_sources
    from groundup.corpus.sources.configuration import Files

    for item in read_sources([Files(kind="files", path=path, text=config.text)], base, progress=progress):
        if isinstance(item, Dropped):
            skipped[item.rule] += 1
        else:
            yield item.text
