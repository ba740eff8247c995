"""From documents as they come to documents worth training on, and the account of every one that was not kept.

    partitions -> candidates (each partition on its own) -> decisions (all candidates at once) -> documents and ledger

A partition is a piece of the input that one worker reads. A document that passes the rules is a candidate;
duplicates and the split are decided among all candidates, on fingerprints; then each partition's documents are written.
Every finished partition is recorded in `keep`, and a run that was killed resumes with the others. The result is the
same, byte for byte, with any engine, any number of workers, and however often the run was killed.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.artifacts.work import Figures
from groundup.corpus.configuration import CurateConfig, PythonDocs
from groundup.corpus.curate.candidates import LEDGER_PART, ReadTask, read_partition
from groundup.corpus.curate.counts import NAMED_ROWS, Counts, by_count, total
from groundup.corpus.curate.decisions import decide, quality_threshold
from groundup.corpus.curate.keeping import DOCUMENTS_PART, KeepTask, keep_partition
from groundup.corpus.curate.partitions import Partition
from groundup.corpus.documents import DOCUMENTS, part_path
from groundup.corpus.duplicates.search import DuplicateSearch
from groundup.corpus.engine import DataEngine
from groundup.corpus.finished import part_folder
from groundup.corpus.ledger import LEDGER
from groundup.corpus.phases import Phases
from groundup.corpus.sources import source_names
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent


def curate(
    partitions: Sequence[Partition],
    config: CurateConfig,
    out: Path,
    keep: Path,
    base: Path,
    engine: DataEngine | None = None,
    progress: Progress | None = None,
) -> Figures:
    """Write the documents that pass the rules and are no duplicates, and the ledger of everything that was found.

    Args:
        partitions: the input, in its order.
        config: the `curate:` section; its sources are in `partitions` already.
        out: gets the folders `documents` and `ledger`, with a part for each partition.
        keep: where finished partitions are recorded; an interrupted curation of the same input resumes from there.
        base: relative paths of the configuration are resolved against this folder.
        engine: where the work is done; this process if None.
        progress: where to show the work.

    Returns:
        JSON-ready figures: funnel, dropped, documents, bytes, heldout_documents, heldout_bytes, sources, languages.

    Raises:
        GroundupError: a source has no document that can be read, or nothing is left.
    """
    engine, progress = engine or DataEngine(), progress or Silent()
    read, decided, kept = keep / "read", keep / "decided", keep / "kept"
    phases, numbers = Phases(engine, keep, progress), range(len(partitions))
    labels, sizes = [part.label for part in partitions], [part.bytes / 1e6 for part in partitions]
    reading = [ReadTask(number, part, config, base, read) for number, part in enumerate(partitions)]
    counts = total(phases.run("reading", read, read_partition, reading, labels, sizes))
    _check_sources(partitions, counts, config, base)
    candidates = [part_folder(read, number) for number in numbers]
    search = DuplicateSearch(
        decided, config.near_duplicates, read, len(partitions), keep / "earlier", _earlier(config, base, keep, phases),
        range_documents=config.engine.range_documents,
    )  # fmt: skip
    training: Figures = {}
    if config.quality is not None:
        training = _score(config, base, candidates, keep, out, phases, labels, sizes)
        threshold = quality_threshold(keep / "scored", len(partitions), config)
        search = replace(search, scores=keep / "scored", least_quality=threshold)
    decisions, figures = decide(search, config, counts, phases)
    writing = [
        KeepTask(number, config, part.has_sections, read, decisions, kept) for number, part in enumerate(partitions)
    ]
    counts.add_all(phases.run("writing", kept, keep_partition, writing, labels, sizes))
    if not counts.kept:
        raise _nothing_left(counts)
    for number in numbers:
        for name, folder in ((DOCUMENTS_PART, DOCUMENTS), (LEDGER_PART, LEDGER)):
            target = part_path(out / folder, number)
            target.parent.mkdir(parents=True, exist_ok=True)
            (part_folder(kept, number) / name).rename(target)
    if config.contamination is not None:
        figures["contamination"] = _contamination(config, base, candidates, out)
    return _figures(counts, figures, training)


def _contamination(config: CurateConfig, base: Path, candidates: Sequence[Path], out: Path) -> list[Figures]:
    """Publish the account of what was found of evaluation sets; returns its sums, a row for each set."""
    from groundup.corpus.contamination.items import EvaluationItems
    from groundup.corpus.contamination.removal import summary
    from groundup.corpus.curate.candidates import ACCOUNT
    from groundup.corpus.documents import read_batches

    assert config.contamination is not None
    folder = out / "contamination"
    folder.mkdir()
    for number, part in enumerate(candidates):
        shutil.copyfile(part / ACCOUNT, part_path(folder, number))
    items = EvaluationItems.load(config.contamination, base)
    return summary(items, (batch for part in candidates for batch in read_batches(part / ACCOUNT)))


def _score(
    config: CurateConfig,
    base: Path,
    candidates: Sequence[Path],
    keep: Path,
    out: Path,
    phases: Phases,
    labels: Sequence[str],
    megabytes: Sequence[float],
) -> Figures:
    """Score every partition's candidates; returns what is known of the classifier."""
    from groundup.corpus.curate.scoring import ScoreTask, classifier, score_partition

    assert config.quality is not None
    model, training = classifier(config.quality, base, candidates, keep / "classifier", phases.progress)
    if config.quality.train is not None:
        shutil.copytree(model, out / "quality", ignore=shutil.ignore_patterns("finished.json"))
    scored = keep / "scored"
    tasks = [
        ScoreTask(number, model, config.quality.good_label, keep / "read", scored) for number in range(len(candidates))
    ]
    phases.run("scoring", scored, score_partition, tasks, labels, megabytes)
    return training


def _earlier(config: CurateConfig, base: Path, keep: Path, phases: Phases) -> int:
    """Make the fingerprints of earlier corpora; returns how many parts these have."""
    from groundup.corpus.curate.earlier import EarlierTask, earlier_parts, read_earlier

    folder, near = keep / "earlier", config.near_duplicates
    parts = earlier_parts(near, base)
    tasks = [EarlierTask(number, part, near, folder) for number, part in enumerate(parts)]
    labels, sizes = [str(part) for part in parts], [part.stat().st_size / 1e6 for part in parts]
    phases.run("reading earlier corpora", folder, read_earlier, tasks, labels, sizes)
    return len(parts)


def _check_sources(partitions: Sequence[Partition], counts: Counts, config: CurateConfig, base: Path) -> None:
    """Every source must hold something, and few bad rows."""
    _check_rows(counts, config, base)
    for name in dict.fromkeys(part.source for part in partitions):
        if name not in counts.sources:
            dropped = by_count(counts.dropped.get(name, {}))
            reasons = ", ".join(f"{rule} ({count})" for rule, count in dropped.items())
            if bad := counts.bad_rows.get(name):
                reasons += f"; the first bad rows are {'; '.join(bad['first'])}"
            raise GroundupError(
                f"not one document can be read: {reasons or 'there is none'}",
                where=name,
                do="put readable documents there (UTF-8 text) or take the source out of curate.sources",
            )


def _check_rows(counts: Counts, config: CurateConfig, base: Path) -> None:
    """Refuse a source of whose rows more than `max_bad_rows` are bad, unless these are few."""
    for source, name in zip(config.sources, source_names(config.sources, base), strict=True):
        bad = counts.bad_rows.get(name)
        if bad is None or bad["rows"] <= NAMED_ROWS or isinstance(source, PythonDocs):
            continue
        rows = bad["rows"] + counts.sources.get(name, [0, 0])[0]
        if bad["rows"] > source.max_bad_rows * rows:
            raise GroundupError(
                f"{bad['rows']:,} of {rows:,} rows are bad, more than max_bad_rows: {source.max_bad_rows:g}; the first "
                f"are {'; '.join(bad['first'])}",
                where=name,
                do="name the column that holds the text with `text:`, repair the rows, or raise max_bad_rows",
            )


def _figures(counts: Counts, decided: Figures, training: Figures) -> Figures:
    sources: dict[str, dict[str, Any]] = {}
    sums = [0, 0, 0, 0]
    for source in sorted(counts.sources.keys() | counts.kept.keys()):  # one of which nothing is kept included
        licences = counts.kept.get(source, {})
        held = [sum(column) for column in zip([0, 0, 0, 0], *licences.values(), strict=True)]
        sums = [before + now for before, now in zip(sums, held, strict=True)]
        by_licence = {licence: numbers[0] for licence, numbers in sorted(licences.items())}
        read = counts.sources.get(source, [0, 0])
        sources[source] = {
            "documents": held[0],
            "bytes": held[1],
            "read_documents": read[0],
            "read_bytes": read[1],
            "licences": by_licence,
        }
    return {
        "funnel": [
            {"step": name, "documents": documents, "bytes": size} for name, (documents, size) in counts.steps.items()
        ],
        "dropped": counts.rules(),
        "documents": sums[0],
        "bytes": sums[1],
        "heldout_documents": sums[2],
        "heldout_bytes": sums[3],
        "sources": sources,
        **{name: by_count(tally) for name, tally in sorted(counts.tallies.items()) if name != "repeated"},
        **decided,
        **({"bad_rows": counts.bad_rows} if counts.bad_rows else {}),
        **({"quality": decided["quality"] | {"training": training}} if "quality" in decided else {}),
        **({"repeated": decided["repeated"] | counts.tallies.get("repeated", {})} if "repeated" in decided else {}),
    }


def _nothing_left(counts: Counts) -> GroundupError:
    reasons = ", ".join(f"{rule} ({count})" for rule, count in list(counts.rules().items())[:5])
    read = sum(documents for documents, _ in counts.sources.values())
    return GroundupError(
        f"no document is left of {read} that were read; they were dropped by: {reasons or 'nothing, there were none'}",
        where="curate",
        do="loosen those rules in curate.rules, or add sources",
    )
