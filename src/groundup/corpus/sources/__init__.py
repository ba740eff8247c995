"""Where documents come from.

    pieces(source, name, base)         what there is to read, cut into tasks: a function of the source's files alone
    read_piece(piece, source, limit)   the documents of one of them, and what was dropped

All pieces, read in their order, give the source's documents in a fixed order, however they are cut.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources.configuration import Files, PythonDocs, Remote, Source
from groundup.corpus.sources.piece import Piece
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

BYTES_PER_MB = 1_000_000
PIECE_BYTES = 64 << 20
_PYTHON_DOCS = "python-docs"
_TYPES = "text, markup, pages, mails, tables, JSON, office documents, web archives; see docs/curation.md"


def source_names(sources: Sequence[Source], base: Path) -> list[str]:
    """A name for each source: the one it has, `python-docs`, or its path's last part; a repeated one gets a number."""
    names: list[str] = []
    for source in sources:
        name = source.name or _PYTHON_DOCS
        if not source.name and isinstance(source, Files):
            name = (base / source.path.expanduser()).resolve().name or "files"
        elif not source.name and isinstance(source, Remote):
            name = PurePosixPath(source.address).name or "remote"
        number = 2
        wanted = name
        while name in names:
            name, number = f"{wanted}-{number}", number + 1
        names.append(name)
    return names


def pieces(source: Source, name: str, base: Path, piece_bytes: int = PIECE_BYTES) -> list[Piece]:
    """What there is to read, in a fixed order.

    Args:
        source: an entry of `curate.sources`.
        name: its name, by `source_names`.
        base: relative paths start here.
        piece_bytes: files that are larger are cut, where they can be.

    Raises:
        GroundupError: the path is missing, an address can't be reached, or nothing that can be read is there.
    """
    if isinstance(source, PythonDocs):
        return [Piece(name, "", _PYTHON_DOCS, _PYTHON_DOCS, 0)]
    if isinstance(source, Remote):
        from groundup.corpus.sources.remote import remote_pieces

        found = remote_pieces(source, name, piece_bytes)
    else:
        from groundup.corpus.sources.cutting import pieces_of
        from groundup.corpus.sources.walk import locate, walk

        files = walk(locate(source.path, base), source.format, source.follow_links)
        found = [piece for file in files for piece in pieces_of(file, name, source, piece_bytes)]
    if not any(piece.format for piece in found):
        where = source.address if isinstance(source, Remote) else str(source.path)
        linked = any(piece.skipped in ("outside-link", "linked-folder") for piece in found)
        do = (
            "links lead elsewhere: `follow_links: true` reads them"
            if linked
            else f"give files of a known type ({_TYPES})"
        )
        raise GroundupError(f"nothing to read here: {_census(found)}", where=where, do=do)
    return found


def read_piece(
    piece: Piece, source: Source, max_document_mb: float = 8.0, progress: Progress | None = None
) -> Iterator[Document | Dropped]:
    """The documents of one piece in order, and what was dropped of it; a stream, with bounded memory.

    Args:
        piece: one of `pieces`.
        source: the entry that it is of.
        max_document_mb: larger files, lines, rows and records are dropped.
        progress: where to show the work, where it takes long.

    Raises:
        GroundupError: a package is not installed.
    """
    if isinstance(source, PythonDocs):
        from groundup.corpus.sources.python_docs.reader import read_python_docs

        yield from read_python_docs(source.packages, piece.source, progress or Silent())
        return
    max_bytes = int(max_document_mb * BYTES_PER_MB)
    from groundup.corpus.sources.door import read_guarded

    if isinstance(source, Remote):
        from groundup.corpus.sources.remote import fetched

        with fetched(piece, source) as path:
            yield from read_guarded(piece, path, source, max_bytes)
    else:
        yield from read_guarded(piece, Path(piece.address), source, max_bytes)


def read_sources(
    sources: Sequence[Source], base: Path, max_document_mb: float = 8.0, progress: Progress | None = None
) -> Iterator[Document | Dropped]:
    """The documents of all sources, one source after the other.

    Args:
        sources: the `sources` of a `curate:` section.
        base: relative paths start here.
        max_document_mb: larger files, lines and rows are dropped.
        progress: where to show the work.

    Raises:
        GroundupError: a source is missing, or has no document that can be read.
    """
    progress = progress or Silent()
    for source, name in zip(sources, source_names(sources, base), strict=True):
        dropped: Counter[str] = Counter()
        documents = 0
        here = pieces(source, name, base)
        with progress.task(f"reading {name}", len(here), "files") as task:
            for piece in here:
                for item in read_piece(piece, source, max_document_mb, progress):
                    if isinstance(item, Dropped):
                        dropped[item.rule] += 1
                    else:
                        documents += 1
                    yield item
                task.advance()
        if not documents:
            raise nothing_read(source, name, dropped)


def nothing_read(source: Source, name: str, dropped: Counter[str]) -> GroundupError:
    """The error for a source of which not one document can be read; `dropped` counts the rules."""
    reasons = ", ".join(f"{rule} ({count})" for rule, count in sorted(dropped.items()))
    return GroundupError(
        f"not one document can be read: {reasons or 'there is none'}",
        where=str(source.path) if isinstance(source, Files) else name,
        do="put readable documents there or take the source out of curate.sources",
    )


def _census(found: Sequence[Piece]) -> str:
    """`no file`, or `12 files, of the types .png (9), .pdf (3)`."""
    if not found:
        return "no file"
    from groundup.corpus.sources.kinds import suffix_of

    types = Counter(suffix_of(piece.relative) or "none" for piece in found)
    most = sorted(types.items(), key=lambda item: (-item[1], item[0]))[:5]
    return f"{len(found)} files, of the types {', '.join(f'{suffix} ({count})' for suffix, count in most)}"
