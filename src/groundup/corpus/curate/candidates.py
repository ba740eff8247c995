"""The first pass over a partition: from what the source holds to documents that may be kept, without seeing any other.

    read, extract, repair -> the steps of steps.py -> fingerprints

It goes batch by batch, so that memory is bounded whatever the partition's size. These files lie in its folder after:

    candidates.parquet   the documents that passed, as they would be kept
    ledger.parquet       a row for everything that was found; those of candidates name no rule yet
    fingerprints.bin     what duplicates are found by
    rows.npz             what decides between duplicates: id and bytes
    contamination.parquet        what of evaluation sets was found in which document, where it is looked for
    lines.bin, paragraphs.bin    what repeated lines and paragraphs are found by, where they are wanted

Everything that was read has statistics, also what a rule drops: that is what a what-if of other thresholds needs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.artifacts.work import Figures
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.counts import Counts
from groundup.corpus.curate.partitions import Partition
from groundup.corpus.curate.steps import Steps
from groundup.corpus.documents import Document, Dropped, PartWriter, grouped
from groundup.corpus.duplicates.configuration import RepeatedUnits, Unit
from groundup.corpus.duplicates.merit import CandidateRows
from groundup.corpus.duplicates.search import FINGERPRINTS, ROWS
from groundup.corpus.finished import run_or_reuse

if TYPE_CHECKING:
    import pyarrow as pa

ACCOUNT = "contamination.parquet"
CANDIDATES, LEDGER_PART = "candidates.parquet", "ledger.parquet"


def units_file(unit: Unit) -> str:
    """The file of a partition's lines, or paragraphs."""
    return f"{unit}s.bin"


@dataclass(frozen=True)
class ReadTask:
    """The first pass over one partition, as a task."""

    number: int
    partition: Partition
    config: CurateConfig
    base: Path
    folder: Path


def read_partition(task: ReadTask) -> Figures:
    """Make the partition's candidates, or find that an earlier run did; returns counts (see `_Counts`)."""
    return run_or_reuse(task.folder, task.number, lambda folder: _read(task, folder))


def _read(task: ReadTask, folder: Path) -> Figures:
    from groundup.corpus.contamination.removal import account_schema
    from groundup.corpus.duplicates.fingerprints import FingerprintWriter
    from groundup.corpus.duplicates.repeated import write_units
    from groundup.corpus.duplicates.units import Units, units_of

    config = task.config
    steps, counts = Steps(config, task.base), Counts()
    rows: list[CandidateRows] = []
    units: dict[Unit, list[Units]] = {unit: [] for unit in repeated_units(config)}
    accounts: list[pa.RecordBatch] = []
    documents = 0
    with (
        PartWriter(folder / LEDGER_PART, steps.ledger_schema, is_result=False) as ledger,
        PartWriter(folder / CANDIDATES, steps.candidates_schema, is_result=False) as candidates,
        FingerprintWriter(folder / FINGERPRINTS, config.near_duplicates) as fingerprints,
    ):
        for items in grouped(task.partition.read(), _size):
            batch = steps.take(items, counts)
            texts = batch.candidates.column("text")
            ledger.write(batch.ledger)
            candidates.write(batch.candidates)
            fingerprints.write(texts)
            for unit, wanted in repeated_units(config).items():
                units[unit].append(units_of(texts, unit, wanted, documents))
            if batch.account is not None:
                accounts.append(batch.account)
            rows.append(batch.rows)
            documents += len(batch.rows)
    CandidateRows.joined(rows).save(folder / ROWS)
    for unit, wanted in repeated_units(config).items():
        write_units(folder / units_file(unit), units[unit], unit, wanted, documents)
    if config.contamination is not None:
        with PartWriter(folder / ACCOUNT, account_schema()) as writer:
            for account in accounts:
                writer.write(account)
    return counts.figures()


def repeated_units(config: CurateConfig) -> dict[Unit, RepeatedUnits]:
    """Which units are taken out where other documents have them, in the order in which they are."""
    wanted: dict[Unit, RepeatedUnits | None] = {
        "paragraph": config.repeated_paragraphs,
        "line": config.repeated_lines,
    }
    return {unit: one for unit, one in wanted.items() if one is not None}


def _size(item: Document | Dropped) -> int:
    return len(item.text) if isinstance(item, Document) else len(item.excerpt)
