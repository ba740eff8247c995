"""From a step of pretraining back to the documents whose tokens it saw."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.documents import Document, part_paths
from groundup.errors import GroundupError
from groundup.shards.stream import Span
from groundup.training.configuration import PretrainConfig
from groundup.training.data import steps_of
from groundup.training.pretraining import Pretraining

COLUMNS = ["id", "title", "source", "origin", "licence"]


@dataclass(frozen=True)
class Traced:
    """A document, and which of its tokens a sequence of the step held."""

    sequence: int  # of the step, from 0
    span: Span
    document: Document  # without its text


def trace(config: PretrainConfig, objective: Pretraining, documents: Path, step: int) -> list[Traced]:
    """The documents of a step, counted from 1 as in `metrics.jsonl`, sequence after sequence.

    Args:
        documents: the folder of the curate stage's artifact.

    Raises:
        GroundupError: there is no such step, or a document is no longer in the folder.
    """
    steps = steps_of(config, objective)
    if not 1 <= step <= steps:
        raise GroundupError(f"there is no step {step} of pretraining", do=f"give one from 1 to {steps}")
    spans, first = objective.spans(step - 1), objective.draws(step - 1).start
    found = find(documents, {span.id for span in spans})
    return [Traced(span.draw - first, span, found[span.id]) for span in spans]


def find(documents: Path, ids: Iterable[str]) -> dict[str, Document]:
    """The documents with these ids, without their texts.

    Raises:
        GroundupError: one is not there, or a file can't be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted, found = set(ids), dict[str, Document]()
    for path in part_paths(documents):
        left = sorted(wanted - found.keys())
        if not left:
            break
        try:
            table = pq.read_table(path, columns=COLUMNS, filters=pc.field("id").isin(left))
        except (OSError, pa.ArrowInvalid) as error:
            raise GroundupError(f"can't be read ({error})", where=str(path), do="run the curate stage again") from error
        found |= {row["id"]: Document(**row) for row in table.to_pylist()}
    if missing := sorted(wanted - found.keys()):
        raise GroundupError(f"has no document {missing[0]}", where=str(documents), do="run the blueprint again")
    return found
