"""The account of everything that the sources held: a row per document or file, kept or not, with the reason.

The folder `ledger` of a `curate` artifact holds part files, one for each partition of the input; read one after the
other they list what was found in the order in which it was read. A row says where a document lies (source, origin,
offset, licence), everything that was measured of it, and its end: the rule that it broke, with what was measured and
what the rule allows, or nothing where it was kept. Statistics are empty for what could not be read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.corpus.documents import part_paths, read_batches

if TYPE_CHECKING:
    import pyarrow as pa

LEDGER = "ledger"
_COLUMNS = (
    "id",
    "title",
    "source",
    "origin",
    "offset",
    "url",
    "licence",
    "bytes",
    "language",
    "language_confidence",
    "quality",
)
ENDS = ("rule", "value", "threshold", "duplicate_of", "excerpt")
REDACTED = "redacted_"  # how the columns with the counts of redaction begin


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of the ledger."""

    id: str
    title: str
    source: str
    origin: str
    offset: int
    url: str
    licence: str
    bytes: int  # of the text in UTF-8
    language: str
    language_confidence: float | None
    quality: float | None
    rule: str  # empty where the document was kept
    value: float | None
    threshold: float | None
    duplicate_of: str  # id of the document that was kept instead, or the evaluation item that it contains
    excerpt: str  # of a document that was dropped
    measured: dict[str, float | None] = field(default_factory=dict)  # statistics and counts of redaction, by column


def ledger_schema(statistics: "pa.Schema", redactions: Sequence[str] = ()) -> "pa.Schema":
    """The columns of the parts of `ledger`.

    Args:
        statistics: the columns that `filters.statistics` measures.
        redactions: the kinds that redaction counts.
    """
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "title", "source", "origin")),
            ("offset", pa.int64()),
            *((name, pa.string()) for name in ("url", "licence")),
            ("bytes", pa.int64()),
            ("language", pa.string()),
            ("language_confidence", pa.float32()),
            *statistics,
            *((f"{REDACTED}{kind}", pa.int32()) for kind in redactions),
            ("quality", pa.float32()),
            ("rule", pa.string()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            *((name, pa.string()) for name in ("duplicate_of", "excerpt")),
        ]
    )


def read_ledger(folder: Path, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
    """The rows of all parts in their order, a row group in memory at a time.

    Args:
        folder: the artifact's folder `ledger`.
        columns: the columns wanted; None for all.

    Raises:
        GroundupError: there is no part, or one can't be read.
    """
    for path in part_paths(folder):
        yield from read_batches(path, columns)


def entries(folder: Path, name: str) -> Iterator[LedgerEntry]:
    """The rows of what is called so: of documents whose id begins with `name`, or whose origin is `name`."""
    import pyarrow.compute as pc

    for batch in read_ledger(folder):
        wanted = pc.equal(batch.column("origin"), name)
        if name:
            wanted = pc.or_(wanted, pc.starts_with(batch.column("id"), name))
        yield from map(entry, batch.filter(wanted).to_pylist())


def dropped_entries(folder: Path) -> Iterator[LedgerEntry]:
    """The rows of what was not kept."""
    import pyarrow.compute as pc

    for batch in read_ledger(folder):
        yield from map(entry, batch.filter(pc.not_equal(batch.column("rule"), "")).to_pylist())


def entry(row: dict[str, Any]) -> LedgerEntry:
    """A row of the ledger, as a dictionary by column, as an entry."""
    plain = {name: row.pop(name) for name in (*_COLUMNS, *ENDS)}
    return LedgerEntry(**plain, measured=row)
