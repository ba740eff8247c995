"""The last pass over a partition: its candidates and its ledger as the decisions leave them, in the artifact's form.

    candidates.parquet + decisions -> documents.parquet, of those that are kept, with their split
    ledger.parquet + decisions     -> ledger.parquet, of everything that was found, with its end

Repeated lines and paragraphs are taken out here. A document keeps the id that it had before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.candidates import CANDIDATES, LEDGER_PART, repeated_units, units_file
from groundup.corpus.curate.counts import Counts
from groundup.corpus.curate.decisions import KEPT, RULES, Decided, Decisions
from groundup.corpus.curate.rows import as_ids, byte_lengths
from groundup.corpus.curate.steps import excerpts_of, known
from groundup.corpus.documents import PartWriter, documents_schema, read_batches
from groundup.corpus.duplicates.configuration import Unit
from groundup.corpus.facts import section_facts
from groundup.corpus.finished import part_folder, run_or_reuse
from groundup.corpus.ledger import ENDS

if TYPE_CHECKING:
    import pyarrow as pa

    from groundup.corpus.duplicates.repeated import Repeated

DOCUMENTS_PART = "documents.parquet"


@dataclass(frozen=True)
class KeepTask:
    """The last pass over one partition, as a task."""

    number: int
    config: CurateConfig
    has_sections: bool
    """Whether facts are taken from the documents' sections."""
    candidates: Path
    """The folder of the first pass."""
    decided: Decided
    folder: Path


@dataclass(frozen=True)
class _End:
    """How a candidate ended that is not kept."""

    rule: str
    value: float | None
    threshold: float | None
    instead: str
    excerpt: str


def keep_partition(task: KeepTask) -> Figures:
    """Write the partition's documents and ledger, or find that an earlier run did; returns counts."""
    return run_or_reuse(task.folder, task.number, lambda folder: _keep(task, folder))


def _keep(task: KeepTask, folder: Path) -> Figures:
    counts = Counts()
    source = part_folder(task.candidates, task.number)
    decisions = task.decided.of(task.number)
    heldout = task.decided.heldout(task.number, decisions)
    inherited = task.decided.inherited(task.number, decisions)
    repeated = _repeated(task)
    ends: dict[int, _End] = {}
    at = 0
    with PartWriter(folder / DOCUMENTS_PART, documents_schema()) as writer:
        for batch in read_batches(source / CANDIDATES):
            numbers = np.arange(at, at + batch.num_rows)
            at += batch.num_rows
            batch = _filled(batch, numbers, decisions, heldout[numbers], inherited)
            gone = decisions.end[numbers] != KEPT
            ends |= _ends(batch.filter(_mask(gone)), numbers[gone], decisions)
            batch, numbers = batch.filter(_mask(~gone)), numbers[~gone]
            for unit, found in repeated.items():
                batch, numbers, more = _without_repeated(
                    batch, numbers, unit, found, task.config, int(decisions.first[0]), counts
                )
                ends |= more
            if task.has_sections:
                batch = _with_section_facts(batch)
            _count(batch, counts, bool(repeated))
            writer.write(batch)
    _keep_ledger(source / LEDGER_PART, folder / LEDGER_PART, decisions, ends, counts)
    return counts.figures()


def _repeated(task: KeepTask) -> "dict[Unit, Repeated]":
    """What is repeated, of the units that are to be taken out."""
    wanted = repeated_units(task.config)
    if not wanted:
        return {}
    from groundup.corpus.duplicates.repeated import Repeated

    return {unit: Repeated(task.decided.search.folder / units_file(unit), unit, one) for unit, one in wanted.items()}


def _filled(
    batch: "pa.RecordBatch",
    numbers: NDArray[np.int64],
    decisions: Decisions,
    heldout: NDArray[np.bool_],
    inherited: dict[int, list[dict[str, str]]],
) -> "pa.RecordBatch":
    """`batch` with what the decisions add: split, quality and inherited facts."""
    split = np.where(heldout, "heldout", "train")
    batch = _replaced(batch, "split", split.tolist())
    batch = _replaced(batch, "quality", [known(value) for value in decisions.quality[numbers]])
    heirs = [row for row, number in enumerate(numbers.tolist()) if number in inherited] if inherited else []
    if not heirs:
        return batch
    facts = batch.column("facts").to_pylist()
    for row in heirs:
        known_facts = {(fact["subject"], fact["aspect"]): fact for fact in facts[row]}
        for fact in inherited[int(numbers[row])]:
            known_facts.setdefault((fact["subject"], fact["aspect"]), fact)
        facts[row] = list(known_facts.values())
    return _replaced(batch, "facts", facts)


def _with_section_facts(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """`batch` with the facts of the documents' sections before those that they inherited."""
    columns = (batch.column(name).to_pylist() for name in ("text", "title", "facts"))
    facts = []
    for text, title, inherited in zip(*columns, strict=True):
        own = [
            {"subject": fact.subject, "aspect": fact.aspect, "answer": fact.answer}
            for fact in section_facts(text, title)
        ]
        known = {(fact["subject"], fact["aspect"]) for fact in own}
        facts.append(own + [fact for fact in inherited if (fact["subject"], fact["aspect"]) not in known])
    return _replaced(batch, "facts", facts)


def _ends(batch: "pa.RecordBatch", numbers: NDArray[np.int64], decisions: Decisions) -> dict[int, _End]:
    """Of candidates that go because of others."""
    instead = as_ids(decisions.instead[numbers])
    return {
        int(number): _End(
            RULES[int(end)],
            known(decisions.value[number]),
            known(decisions.thresholds[end]),
            other if decisions.instead[number].any() else "",
            excerpt,
        )
        for number, end, other, excerpt in zip(
            numbers, decisions.end[numbers], instead, excerpts_of(batch.column("text")), strict=True
        )
    }


def _without_repeated(
    batch: "pa.RecordBatch",
    numbers: NDArray[np.int64],
    unit: Unit,
    repeated: "Repeated",
    config: CurateConfig,
    first: int,
    counts: Counts,
) -> "tuple[pa.RecordBatch, NDArray[np.int64], dict[int, _End]]":
    """`(batch, numbers)` of documents with enough words left, and the ends of the others."""
    least = repeated_units(config)[unit].least_words_left
    removed = repeated.remove(batch.column("text"), numbers + first)
    counts.tally("repeated", f"{unit}s", int(removed.units.sum()))
    counts.tally("repeated", f"bytes in {unit}s", int(removed.bytes.sum()))
    gone = (removed.units > 0) & (removed.words_left < least)
    excerpts = excerpts_of(batch.filter(_mask(gone)).column("text"))
    ends = {
        int(number): _End(f"repeated-{unit}s", float(words), float(least), "", excerpt)
        for number, words, excerpt in zip(numbers[gone], removed.words_left[gone], excerpts, strict=True)
    }
    batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), removed.texts)
    return batch.filter(_mask(~gone)), numbers[~gone], ends


def _keep_ledger(source: Path, target: Path, decisions: Decisions, ends: dict[int, _End], counts: Counts) -> None:
    """Copy a partition's ledger, with the quality of candidates and how those ended that are not kept."""
    import pyarrow.parquet as pq

    candidate = 0
    with PartWriter(target, pq.read_schema(source)) as writer:
        for batch in read_batches(source):
            columns = {name: batch.column(name).to_pylist() for name in (*ENDS, "quality")}
            sources = batch.column("source").to_pylist()
            for row, rule in enumerate(columns["rule"]):
                if rule:
                    continue
                columns["quality"][row] = known(decisions.quality[candidate])
                if end := ends.get(candidate):
                    for name, value in zip(ENDS, vars(end).values(), strict=True):
                        columns[name][row] = value
                    counts.drop(sources[row], end.rule)
                candidate += 1
            for name, values in columns.items():
                batch = _replaced(batch, name, values)
            writer.write(batch)


def _mask(chosen: NDArray[np.bool_]) -> "pa.BooleanArray":
    import pyarrow as pa

    return pa.array(chosen)


def _replaced(batch: "pa.RecordBatch", name: str, values: Sequence[Any]) -> "pa.RecordBatch":
    """`batch` with other values in a column."""
    import pyarrow as pa

    at = batch.schema.get_field_index(name)
    return batch.set_column(at, batch.schema.field(at), pa.array(values, batch.schema.field(at).type))


def _count(batch: "pa.RecordBatch", counts: Counts, is_step: bool) -> None:
    """Count documents that are kept; `is_step`: some that came here were not."""
    sizes = byte_lengths(batch.column("text"))
    if is_step:
        counts.step("repeated", batch.num_rows, int(sizes.sum()))
    columns = (batch.column(name).to_pylist() for name in ("source", "licence", "split"))
    for source, licence, split, size in zip(*columns, sizes.tolist(), strict=True):
        counts.keep(source, licence, split == "heldout", size)
