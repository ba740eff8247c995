"""The plan of curation: every source cut into partitions, each read by one worker, in an order fixed by the input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from groundup.corpus.configuration import CurateConfig, PythonDocs, Source
from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources.piece import Piece


class Partition(Protocol):
    """A part of the input: it can be pickled, and read as often as needed with the same result."""

    @property
    def source(self) -> str:
        """The name of the source that it is part of."""

    @property
    def label(self) -> str:
        """What an error calls it: `crawl: CC-1.warc.gz`."""

    @property
    def bytes(self) -> int:
        """About how much it reads, for the progress."""

    @property
    def has_sections(self) -> bool:
        """Whether its documents' facts are found in their texts: the first sentence below each heading."""

    def read(self) -> Iterator[Document | Dropped]:
        """Its documents in their order, and what was dropped."""


@dataclass(frozen=True)
class Given:
    """A partition of documents that are in memory already, for notebooks and tests."""

    items: tuple[Document | Dropped, ...]
    source: str = "given"
    has_sections: bool = False

    @property
    def label(self) -> str:
        return f"{self.source}: {len(self.items)} documents"

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.items if isinstance(item, Document))

    def read(self) -> Iterator[Document | Dropped]:
        return iter(self.items)


@dataclass(frozen=True)
class Pieces:
    """A run of pieces of one source: files, or parts of large ones."""

    source: str
    config: Source
    pieces: tuple[Piece, ...]
    max_document_mb: float

    @property
    def label(self) -> str:
        first, last = self.pieces[0], self.pieces[-1]
        what = first.relative
        if last.relative != first.relative:
            what += f" to {last.relative}"
        elif first.start:
            what += f" from {first.start:,}"
        return f"{self.source}: {what}"

    @property
    def bytes(self) -> int:
        return sum(piece.bytes for piece in self.pieces)

    @property
    def has_sections(self) -> bool:
        return not isinstance(self.config, PythonDocs)

    def read(self) -> Iterator[Document | Dropped]:
        from groundup.corpus.sources import read_piece

        items = (item for piece in self.pieces for item in read_piece(piece, self.config, self.max_document_mb))
        if isinstance(self.config, PythonDocs):  # its order is that of the interpreter's modules
            return iter(sorted(items, key=_by_origin))
        return items


def partitions(config: CurateConfig, base: Path) -> list[Partition]:
    """The partitions of all sources, one source after the other.

    They follow from the files of the sources and from `partition_mb`, and from nothing else.

    Raises:
        GroundupError: a source is missing or holds nothing to read.
    """
    from groundup.corpus.sources import pieces, source_names

    most = round(config.partition_mb * 1e6)
    found: list[Partition] = []
    for source, name in zip(config.complete_sources, source_names(config.sources, base), strict=True):
        for some in _runs(pieces(source, name, base, most), most):
            found.append(Pieces(name, source, tuple(some), config.max_document_mb))
    return found


def _by_origin(item: Document | Dropped) -> tuple[str, str]:
    return item.origin, item.text if isinstance(item, Document) else ""


def _runs(pieces: Sequence[Piece], most: int) -> Iterator[list[Piece]]:
    """Pieces in runs of about `most` bytes; one that is larger is a run of its own."""
    run: list[Piece] = []
    size = 0
    for piece in pieces:
        if run and size + piece.bytes > most:
            yield run
            run, size = [], 0
        run.append(piece)
        size += piece.bytes
    if run:
        yield run
