"""From an artifact back to everything that it was made from, down to the source documents."""

from collections.abc import Iterator

from groundup.artifacts import Artifact
from groundup.corpus.documents import DOCUMENTS, Document, read_documents
from groundup.corpus.ledger import LEDGER, LedgerEntry, entries
from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder

COLUMNS = ("id", "title", "source", "origin", "licence", "split")


def find(folder: RunFolder, name: str) -> Artifact:
    """The artifact with this folder name, or the newest run's artifact of the stage with this name.

    Raises:
        GroundupError: there is none.
    """
    everything = {one.path.name: one for one in folder.store.everything()}
    if name in everything:
        return everything[name]
    if name in {one.stage for one in everything.values()}:
        return folder.artifact(name)
    raise GroundupError(
        f"there is no artifact {name}",
        where=str(folder.path),
        do=f"there are {', '.join(everything) or 'none yet'}",
    )


def documents(artifact: Artifact) -> Iterator[Document]:
    """The documents of a `curate` artifact, in its order, without their texts."""
    return read_documents(artifact.folder(DOCUMENTS), columns=COLUMNS)


def found(artifact: Artifact, name: str) -> Iterator[LedgerEntry]:
    """What a `curate` artifact records of a document, kept or not.

    Args:
        artifact: the artifact.
        name: what the document's id begins with, or its origin (`guide.md`, `rows.jsonl:12`).
    """
    return entries(artifact.folder(LEDGER), name)


def account(entry: LedgerEntry) -> Iterator[str]:
    """What is known of a document, in lines: where it lies, what became of it and why, and what was measured."""
    yield f"{entry.id or '(not read)'}  {entry.title}"
    offset = f", at {entry.offset:,}" if entry.offset >= 0 else ""
    yield f"  from       {entry.source}: {entry.origin}{offset}"
    if entry.url:
        yield f"  address    {entry.url}"
    yield f"  licence    {entry.licence or 'not stated'}"
    if not entry.rule:
        yield "  kept"
    else:
        measured = f" (measured {entry.value:g})" if entry.value is not None else ""
        if entry.value is not None and entry.threshold is not None:
            measured = f" (measured {entry.value:g}, threshold {entry.threshold:g})"
        yield f"  dropped    by {entry.rule}{measured}"
        if entry.duplicate_of:
            yield f"  instead    {entry.duplicate_of}"
    if entry.language:
        yield f"  language   {entry.language} ({entry.language_confidence or 0:.2f})"
    if entry.quality is not None:
        yield f"  quality    {entry.quality:.3f}"
    known = {name: value for name, value in entry.measured.items() if value is not None}
    if known:
        yield f"  text       {entry.bytes:,} bytes"
    for name, value in known.items():
        yield f"    {name:<32} {value:g}"
