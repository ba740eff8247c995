"""Documents, and the Parquet files that the curate stage leaves: what was kept and what was dropped.

The folder `documents` holds part files with a row per kept document; read one after the other they are the corpus.
`dropped.parquet` has a row per document (or file) that was left out, with the rule that it broke. All are written with
fixed settings, so that equal rows give equal bytes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS = "documents"
DROPPED = "dropped.parquet"
EXCERPT_CHARACTERS = 300
_ROWS_PER_GROUP = 4096

Split = Literal["train", "heldout"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a document says of itself, fit for a question: what is the `aspect` of `subject`?"""

    subject: str
    aspect: str  # summary | parameters | section
    answer: str


@dataclass(frozen=True, slots=True)
class Document:
    """A clean text with where it comes from. Columns that a reader left out hold empty values."""

    id: str = ""  # first 32 hex digits of the SHA-256 of the text's UTF-8
    text: str = ""
    title: str = ""
    source: str = ""  # the source's name
    origin: str = ""  # where in the source: `os.path.join`, `guide.md`, `rows.jsonl:12`
    licence: str = ""
    split: str = ""  # train | heldout, set when all else is done
    facts: tuple[Fact, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the text in UTF-8."""
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document, or a file that held none, that was left out, and why."""

    id: str
    title: str
    source: str
    origin: str
    rule: str
    value: float | None = None  # what the rule measured
    threshold: float | None = None  # what it allows
    duplicate_of: str = ""  # the id of the document that was kept in its place
    excerpt: str = ""


def document_id(text: str) -> str:
    """First 32 hex digits of the SHA-256 of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def drop(
    document: Document, rule: str, value: float | None = None, threshold: float | None = None, duplicate_of: str = ""
) -> Dropped:
    """The row of `dropped.parquet` for a document that was read and then broke `rule`."""
    excerpt = document.text[:EXCERPT_CHARACTERS]
    return Dropped(
        document.id, document.title, document.source, document.origin, rule, value, threshold, duplicate_of, excerpt
    )


def documents_schema() -> "pa.Schema":
    """The columns of the parts of `documents`."""
    import pyarrow as pa

    fact = pa.struct([("subject", pa.string()), ("aspect", pa.string()), ("answer", pa.string())])
    names = ("id", "text", "title", "source", "origin", "licence", "split")
    return pa.schema([*((name, pa.string()) for name in names), ("facts", pa.list_(fact))])


def dropped_schema() -> "pa.Schema":
    """The columns of `dropped.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "title", "source", "origin", "rule")),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            *((name, pa.string()) for name in ("duplicate_of", "excerpt")),
        ]
    )


def part_path(folder: Path, part: int) -> Path:
    """The file of this part, counted from 0."""
    return folder / f"part-{part:05}.parquet"


def part_paths(folder: Path) -> list[Path]:
    """The parts in `folder`, in their order.

    Raises:
        GroundupError: there is none.
    """
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise GroundupError("holds no documents", where=str(folder), do="run the curate stage again")
    return paths


def write_documents(folder: Path, documents: Iterable[Document], part: int = 0) -> None:
    """Write `documents` as a part of `folder`, in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(part_path(folder, part), documents_schema(), documents)


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Write `dropped` in the order given."""
    _write(path, dropped_schema(), dropped)


def read_documents(
    folder: Path, split: Split | None = None, columns: Sequence[str] | None = None
) -> Iterator[Document]:
    """The documents of all parts in their order, a few thousand in memory at a time.

    Args:
        folder: the artifact's folder `documents`.
        split: only documents of this split; None for all.
        columns: the fields wanted (`["id", "text"]`); the others are left empty and cost nothing. None for all.

    Raises:
        GroundupError: there is no part, or one can't be read.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, *(["split"] if split else [])]))
    for path in part_paths(folder):
        for row in _read(path, wanted):
            if split is None or row["split"] == split:
                facts = tuple(Fact(**fact) for fact in row.pop("facts", ()))
                yield Document(**row, facts=facts)


def read_dropped(path: Path) -> Iterator[Dropped]:
    """The rows of `dropped.parquet` in their order."""
    return (Dropped(**row) for row in _read(path, None))


def _write(path: Path, schema: "pa.Schema", rows: Iterable[Document | Dropped]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rest = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3, version="2.6") as writer:
        while group := [asdict(row) for row in islice(rest, _ROWS_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=_ROWS_PER_GROUP)


def _read(path: Path, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="run the curate stage again") from error
