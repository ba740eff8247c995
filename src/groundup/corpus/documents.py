"""Documents, and the folder of Parquet files in which the curate stage leaves those that it kept.

The folder `documents` holds part files with a row per kept document; read one after the other they are the corpus.
What was dropped, and why, is in the folder `ledger` (see `ledger.py`). All files are written with fixed settings, so
that equal rows give equal bytes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS = "documents"
EXCERPT_CHARACTERS = 300
_ROWS_PER_GROUP = 4096
_BYTES_PER_GROUP = 16_000_000  # in memory; a group of about this size is read and written at a time
_ROWS_PER_BATCH = 1024
_BYTES_PER_BATCH = 4_000_000

Split = Literal["train", "heldout"]
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact in a document that a question can be made of: what is the `aspect` of `subject`?"""

    subject: str
    aspect: str  # summary | parameters | section
    answer: str


@dataclass(frozen=True, slots=True)
class Document:
    """A clean text with where it comes from. Columns that were not read are empty."""

    id: str = ""  # first 32 hex digits of the SHA-256 of the text's UTF-8; a reader leaves it to the steps
    text: str = ""
    title: str = ""
    source: str = ""  # the source's name
    origin: str = ""  # where in the source: `os.path.join`, `guide.md`, `rows.jsonl:12`
    licence: str = ""
    split: str = ""  # train | heldout, set when all else is done
    facts: tuple[Fact, ...] = ()
    url: str = ""
    offset: int = -1  # of the record within the unpacked file: a byte (lines, WARC) or a row from 0 (parquet); -1: none
    language: str = ""  # ISO 639-1; where the text is too short `und`, or `und-Cyrl` with its script
    quality: float | None = None  # 0 to 1, by the quality classifier, if there is one
    note: str = ""  # what its reader did besides reading; counted in the stage's figures, and not stored

    @property
    def size(self) -> int:
        """Bytes of the text in UTF-8."""
        return len(self.text.encode())


@dataclass(frozen=True)
class NearDocument:
    """A training document near to a text."""

    id: str
    title: str
    source: str
    origin: str
    licence: str
    url: str
    score: float
    """BM25 of the text's and the question's words."""
    excerpt: str
    """Of the document, around what both have in common."""
    common: str
    """The longest run of words that both have, as the document writes it; empty below four words."""
    common_words: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document that could not be kept, or a file without any, and the reason."""

    source: str
    origin: str
    rule: str
    title: str = ""
    value: float | None = None  # what the rule measured
    threshold: float | None = None  # what it allows
    duplicate_of: str = ""
    excerpt: str = ""
    offset: int = -1
    url: str = ""
    licence: str = ""
    is_row: bool = False  # a row of a table that is not as it should be: a source may have few of them


def document_id(text: str) -> str:
    """First 32 hex digits of the SHA-256 of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def documents_schema() -> "pa.Schema":
    """The columns of the parts of `documents`."""
    import pyarrow as pa

    fact = pa.struct([("subject", pa.string()), ("aspect", pa.string()), ("answer", pa.string())])
    return pa.schema(
        [
            *((name, pa.string()) for name in ("id", "text", "title", "source", "origin", "licence", "split")),
            ("facts", pa.list_(fact)),
            ("url", pa.string()),
            ("offset", pa.int64()),
            ("language", pa.string()),
            ("quality", pa.float32()),
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
    import pyarrow as pa

    folder.mkdir(parents=True, exist_ok=True)
    schema = documents_schema()
    with PartWriter(part_path(folder, part), schema) as writer:
        for group in grouped(documents, lambda document: len(document.text)):
            writer.write(pa.RecordBatch.from_pylist([asdict(row) for row in group], schema=schema))


def read_documents(
    folder: Path, split: Split | None = None, columns: Sequence[str] | None = None
) -> Iterator[Document]:
    """The documents of all parts in their order, a row group in memory at a time.

    Args:
        folder: the artifact's folder `documents`.
        split: only documents of this split; None for all.
        columns: the fields wanted (`["id", "text"]`); the others are left empty and cost nothing. None for all.

    Raises:
        GroundupError: there is no part, or one can't be read.
    """
    wanted = None if columns is None else list(dict.fromkeys([*columns, *(["split"] if split else [])]))
    for path in part_paths(folder):
        for batch in read_batches(path, wanted):
            for row in batch.to_pylist():
                if split is None or row["split"] == split:
                    facts = tuple(Fact(**fact) for fact in row.pop("facts", ()))
                    yield Document(**row, facts=facts)


def grouped(items: Iterable[ItemT], size: Callable[[ItemT], int]) -> Iterator[list[ItemT]]:
    """Items in groups that fit into memory, whatever their sizes: a group ends where it reaches a number or a size.

    Args:
        items: the items.
        size: about how many bytes an item takes.
    """
    group: list[ItemT] = []
    held = 0
    for item in items:
        group.append(item)
        held += size(item)
        if held >= _BYTES_PER_BATCH or len(group) >= _ROWS_PER_BATCH:
            yield group
            group, held = [], 0
    if group:
        yield group


class PartWriter:
    """Writes one Parquet part with fixed settings, in row groups bounded by rows and bytes.

    A part appears under its name when it is complete; until then it has a temporary name.
    """

    def __init__(self, path: Path, schema: "pa.Schema", is_result: bool = True) -> None:
        """`is_result`: it is kept, and therefore made small; what is read once and removed is made quickly."""
        import pyarrow.parquet as pq

        self._path, self._aside = path, path.with_name(f".{path.name}")
        packed: dict[str, Any] = (
            {"compression": "zstd", "compression_level": 3}
            if is_result
            else {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
        )
        self._writer = pq.ParquetWriter(self._aside, schema, version="2.6", store_schema=False, **packed)
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: "pa.RecordBatch") -> None:
        """Add rows of the writer's schema, in order; no more at a time than `grouped` gives."""
        if self._held and self._rows + batch.num_rows > _ROWS_PER_GROUP:
            self._flush()
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._bytes >= _BYTES_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=_ROWS_PER_GROUP)
            self._held.clear()
            self._rows = self._bytes = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()
        if kind is None:
            self._aside.rename(self._path)
        else:
            self._aside.unlink(missing_ok=True)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
    """The rows of one part, at most a row group in memory at a time.

    Raises:
        GroundupError: it can't be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = None if columns is None else list(columns)
            yield from file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=wanted)
    except (OSError, pa.ArrowInvalid) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="run the curate stage again") from error
