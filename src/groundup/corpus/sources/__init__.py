"""Where documents come from. Each source gives clean documents in a fixed order, and what it had to leave out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundup.corpus.configuration import Files, PythonDocs
from groundup.corpus.documents import Document, Dropped
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

BYTES_PER_MB = 1_000_000


def source_names(sources: Sequence[PythonDocs | Files], base: Path) -> list[str]:
    """A name for each source: `python-docs`, or the file's or folder's own; a repeated one gets a number."""
    names: list[str] = []
    for source in sources:
        name = "python-docs"
        if isinstance(source, Files):
            name = (base / source.path.expanduser()).resolve().name or "files"
        number = 2
        wanted = name
        while name in names:
            name, number = f"{wanted}-{number}", number + 1
        names.append(name)
    return names


def read_sources(
    sources: Sequence[PythonDocs | Files], base: Path, max_document_mb: float = 8.0, progress: Progress | None = None
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
    for source, name in zip(sources, source_names(sources, base), strict=True):
        dropped: Counter[str] = Counter()
        documents = 0
        for item in _read(source, name, base, int(max_document_mb * BYTES_PER_MB), progress or Silent()):
            if isinstance(item, Dropped):
                dropped[item.rule] += 1
            else:
                documents += 1
            yield item
        if not documents:
            reasons = ", ".join(f"{rule} ({count})" for rule, count in sorted(dropped.items()))
            raise GroundupError(
                f"not one document can be read: {reasons or 'there is none'}",
                where=str(source.path) if isinstance(source, Files) else name,
                do="put readable documents there (UTF-8 text) or take the source out of curate.sources",
            )


def _read(
    source: PythonDocs | Files, name: str, base: Path, max_bytes: int, progress: Progress
) -> Iterator[Document | Dropped]:
    if isinstance(source, PythonDocs):
        from groundup.corpus.sources.python_docs import read_python_docs

        return read_python_docs(source.packages, name, progress)
    from groundup.corpus.sources.files import Columns, locate, read_files

    columns = Columns(source.text, source.title)
    return read_files(locate(source.path, base), name, columns, source.licence, max_bytes, progress)
