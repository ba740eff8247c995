"""From an artifact back to everything that it was made from, down to the source documents."""

from collections.abc import Iterator

from groundup.artifacts import Artifact
from groundup.corpus.documents import DOCUMENTS, Document, read_documents
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


def documents(artifact: Artifact, id: str | None = None) -> Iterator[Document]:
    """The documents of a `curate` artifact, in its order; with `id` only those whose id begins so."""
    for one in read_documents(artifact.folder(DOCUMENTS), columns=COLUMNS):
        if id is None or one.id.startswith(id):
            yield one
