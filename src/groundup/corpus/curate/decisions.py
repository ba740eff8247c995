"""The pass over all candidates at once: which of them are dropped, and which go to the held-out set.

    rows, scores and fingerprints of every partition
        -> quality threshold -> exact duplicates -> near-duplicates -> split -> repeated lines and paragraphs

No text is read: memory holds some hundred bytes for each candidate. The decisions are written separately for each
partition, so that the pass that applies them reads only its own:

    part-00007.npz             what becomes of each candidate, and the document that is kept instead
    part-00007.facts.parquet   facts that candidates of this partition inherit from their duplicates
    lines.bin, paragraphs.bin  what is repeated, and in which document it stays

Of duplicates the best is kept: the one with the highest quality, if it is scored, then the longest, then the one with
the smallest id.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.candidates import CANDIDATES, FINGERPRINTS, ROWS, repeated_units, units_file
from groundup.corpus.curate.counts import Counts
from groundup.corpus.curate.rows import CandidateRows
from groundup.corpus.curate.split import heldout
from groundup.corpus.documents import read_batches
from groundup.progress import Progress

KEPT, QUALITY, EXACT, NEAR = range(4)
RULES = {QUALITY: "quality", EXACT: "exact-duplicate", NEAR: "near-duplicate"}


@dataclass
class Decisions:
    """What becomes of candidates, one row each."""

    end: NDArray[np.uint8]  # KEPT, or a key of RULES
    value: NDArray[np.float32]  # what the rule measured: the quality, or the similarity
    instead: NDArray[np.uint64]  # [candidates, 2] the id of the document that is kept instead of a duplicate
    heldout: NDArray[np.bool_]
    quality: NDArray[np.float32]  # NaN where there is no classifier
    thresholds: NDArray[np.float64]  # [ends] of all candidates alike; NaN for an end that has none
    first: NDArray[np.int64]  # [1] the number of the first candidate, counted over all partitions

    def save(self, path: Path) -> None:
        np.savez(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @staticmethod
    def load(path: Path) -> "Decisions":
        with np.load(path) as found:
            return Decisions(**dict(found))


def decisions_path(folder: Path, number: int) -> Path:
    """Where the decisions about a partition's candidates lie."""
    return folder / f"part-{number:05}.npz"


def facts_path(folder: Path, number: int) -> Path:
    """Where the facts that a partition's candidates inherit lie, if there are any."""
    return folder / f"part-{number:05}.facts.parquet"


def decide(
    parts: Sequence[Path],
    folder: Path,
    config: CurateConfig,
    counts: Counts,
    progress: Progress,
    scores: Sequence[Path] = (),
    earlier: Sequence[Path] = (),
) -> Figures:
    """Decide about all candidates, and write down the decisions of each partition.

    Args:
        parts: the folders of the partitions' candidates, in their order.
        folder: where the decisions go.
        config: the `curate:` section.
        counts: to which the steps are added.
        progress: where to show the work.
        scores: the quality of each part's candidates, where there is a classifier.
        earlier: folders of the fingerprints and rows of earlier corpora.

    Returns:
        JSON-ready figures of what was decided and how.
    """
    from groundup.corpus.duplicates.near import best_first, find
    from groundup.corpus.duplicates.recall import expected, measured

    each = [CandidateRows.load(part / ROWS) for part in parts]
    starts = np.cumsum([0, *(len(one) for one in each)])
    rows = CandidateRows.joined(each)
    del each
    quality = np.concatenate([np.zeros(0, np.float32), *(np.load(path) for path in scores)])
    if not scores:
        quality = np.full(len(rows), np.nan, np.float32)
    end, value = np.zeros(len(rows), np.uint8), np.zeros(len(rows), np.float32)
    thresholds = np.full(len(RULES) + 1, np.nan)
    thresholds[NEAR] = config.near_duplicates.threshold
    figures: Figures = {}
    if config.quality is not None:
        thresholds[QUALITY] = _quality_threshold(quality, config)
        end[quality < thresholds[QUALITY]] = QUALITY
        value[:] = quality
        counts.step("quality", *_left(rows, end == KEPT))
        figures["quality"] = {"threshold": thresholds[QUALITY]}

    order = best_first(rows.sizes, rows.ids, quality)
    order = order[end[order] == KEPT]
    near, files = config.near_duplicates, [part / FINGERPRINTS for part in parts]
    duplicates = find(files, order, near, [part / FINGERPRINTS for part in earlier], progress)
    end[duplicates.rows] = np.where(duplicates.exact, EXACT, NEAR)
    value[duplicates.rows] = duplicates.similarity
    counts.step("exact duplicates", *_left(rows, (end == KEPT) | (end == NEAR)))
    counts.step("near-duplicates", *_left(rows, end == KEPT))
    figures["duplicates"] = {
        "candidates": duplicates.candidates,
        "compared": duplicates.compared,
        "expected": expected(duplicates, near),
        "measured": measured(files, order, duplicates, near),
    }

    kept = np.arange(len(rows))
    kept[duplicates.rows] = duplicates.kept
    instead = np.zeros((len(rows), 2), np.uint64)
    instead[duplicates.rows] = _ids(duplicates.kept, rows, earlier)
    aside = heldout(rows.ids[:, 0], config.heldout, end == KEPT)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it decided
    folder.mkdir(parents=True)
    for number, (first, last) in enumerate(pairwise(starts)):
        own = slice(first, last)
        Decisions(
            end[own], value[own], instead[own], aside[own], quality[own], thresholds, starts[number : number + 1]
        ).save(decisions_path(folder, number))
    _write_inherited(parts, folder, starts, end, kept)
    _write_repeated(parts, folder, order[end[order] == KEPT], config, figures, progress)
    return figures


def _left(rows: CandidateRows, alive: NDArray[np.bool_]) -> tuple[int, int]:
    """`(documents, bytes)`"""
    return int(alive.sum()), int(rows.sizes[alive].sum())


def _quality_threshold(quality: NDArray[np.float32], config: CurateConfig) -> float:
    from groundup.corpus.quality.threshold import threshold_keeping

    assert config.quality is not None
    if config.quality.threshold is not None:
        return config.quality.threshold
    assert config.quality.keep is not None
    return threshold_keeping(lambda: [quality], config.quality.keep)


def _ids(kept: NDArray[np.int64], rows: CandidateRows, earlier: Sequence[Path]) -> NDArray[np.uint64]:
    """The ids of documents by their row; -1 and below are those of earlier corpora."""
    ids = np.zeros((len(kept), 2), np.uint64)
    own = kept >= 0
    ids[own] = rows.ids[kept[own]]
    if not own.all():
        before = CandidateRows.joined([CandidateRows.load(part / ROWS) for part in earlier])
        ids[~own] = before.ids[-1 - kept[~own]]
    return ids


def _write_inherited(
    parts: Sequence[Path], folder: Path, starts: NDArray[np.int64], end: NDArray[np.uint8], kept: NDArray[np.int64]
) -> None:
    """Write down which facts go to which candidate.

    A duplicate passes the facts about its own subjects on to the document that is kept: `json.dumps` is described by
    the words of `json.dump`, and can still be asked about.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    is_duplicate = ((end == EXACT) | (end == NEAR)) & (kept >= 0)
    found: list[pa.Table] = []
    for part, (first, last) in zip(parts, pairwise(starts), strict=True):
        if not is_duplicate[first:last].any():
            continue
        at = first
        for batch in read_batches(part / CANDIDATES, ["facts"]):
            some = np.flatnonzero(is_duplicate[at : at + batch.num_rows])
            facts = batch.column("facts").take(pa.array(some))
            inherited = pa.table({"to": kept[at + some], "facts": facts})
            found.append(inherited.filter(pc.greater(pc.list_value_length(facts), 0)))
            at += batch.num_rows
    if not found:
        return
    everything = pa.concat_tables(found)
    targets = everything.column("to").to_numpy()
    by_target = np.argsort(targets, kind="stable")  # those of one candidate stay in the order of the duplicates
    everything, targets = everything.take(pa.array(by_target)), targets[by_target]
    for number, (first, last) in enumerate(pairwise(starts)):
        low, high = np.searchsorted(targets, (first, last))
        if low < high:
            own = everything.slice(low, high - low)
            pq.write_table(own.set_column(0, "to", pa.array(targets[low:high] - first)), facts_path(folder, number))


def _write_repeated(
    parts: Sequence[Path],
    folder: Path,
    order: NDArray[np.int64],
    config: CurateConfig,
    figures: Figures,
    progress: Progress,
) -> None:
    """Write down which lines and paragraphs occur in many of the remaining documents."""
    from groundup.corpus.duplicates.repeated import find_repeated

    for unit, wanted in repeated_units(config).items():
        name = units_file(unit)
        different = find_repeated([part / name for part in parts], order, unit, wanted, folder / name, progress)
        figures.setdefault("repeated", {})[f"different {unit}s"] = different
