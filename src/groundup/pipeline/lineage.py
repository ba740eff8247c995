"""From an artifact back to everything that it was made from, down to the source documents."""

from collections.abc import Iterator
from dataclasses import dataclass

from groundup.artifacts import Artifact
from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder

DOCUMENTS = "documents.parquet"


@dataclass(frozen=True)
class Document:
    """Where one document came from."""

    id: str
    title: str
    source: str
    origin: str
    licence: str
    split: str


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
    import pyarrow.parquet as pq

    columns = ["id", "title", "source", "origin", "licence", "split"]
    with pq.ParquetFile(artifact.file(DOCUMENTS)) as file:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                if id is None or row["id"].startswith(id):
                    yield Document(**row)
