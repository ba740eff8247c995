"""Documents of earlier runs, as far as duplicates of them are to be found: their fingerprints and ids."""

from dataclasses import dataclass
from pathlib import Path

from groundup.artifacts.work import Figures
from groundup.corpus.curate.rows import as_numbers, byte_lengths
from groundup.corpus.documents import DOCUMENTS, part_paths, read_batches
from groundup.corpus.duplicates.configuration import NearDuplicates
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.duplicates.search import FINGERPRINTS, ROWS
from groundup.corpus.finished import run_or_reuse


@dataclass(frozen=True)
class EarlierTask:
    """The fingerprints of one part of an earlier corpus, as a task."""

    number: int
    part: Path
    config: NearDuplicates
    folder: Path


def earlier_parts(config: NearDuplicates, base: Path) -> list[Path]:
    """The part files of all earlier corpora.

    A corpus is a folder of documents, or the artifact of a `curate` stage that holds it.

    Raises:
        GroundupError: a folder holds no documents.
    """
    found: list[Path] = []
    for folder in config.earlier:
        full = base / folder.expanduser()
        found += part_paths(full / DOCUMENTS if (full / DOCUMENTS).is_dir() else full)
    return found


def read_earlier(task: EarlierTask) -> Figures:
    """Make the fingerprints, or find that an earlier try did."""
    return run_or_reuse(task.folder, task.number, lambda folder: _read(task, folder))


def _read(task: EarlierTask, folder: Path) -> Figures:
    from groundup.corpus.duplicates.fingerprints import FingerprintWriter

    rows = [CandidateRows.joined(())]
    with FingerprintWriter(folder / FINGERPRINTS, task.config) as fingerprints:
        for batch in read_batches(task.part, ["id", "text"]):
            texts = batch.column("text")
            fingerprints.write(texts)
            ids = as_numbers([bytes.fromhex(id) for id in batch.column("id").to_pylist()])
            rows.append(CandidateRows(ids, byte_lengths(texts)))
    CandidateRows.joined(rows).save(folder / ROWS)
    return {"documents": sum(map(len, rows))}
