"""The decisions between candidates: which of them are dropped, and which go to the held-out set.

    rows, scores and fingerprints of every partition
        -> quality threshold -> exact duplicates -> near-duplicates -> split -> repeated lines and paragraphs

No text is read, and no process holds what is known of all candidates: each phase is a function over partitions, or
over ranges of what is compared (`duplicates/`), which the engine spreads. The decisions lie in a folder for each
partition, so that the pass that applies them reads only its own:

    decisions.npz    what becomes of each candidate, and the document that is kept instead
    facts.parquet    facts of its duplicates, for the candidates (of any partition) that are kept instead

Of duplicates the best is kept: the one with the highest quality, if it is scored, then the longest, then the one with
the smallest id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.work import Figures
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.candidates import CANDIDATES, repeated_units, units_file
from groundup.corpus.curate.counts import Counts
from groundup.corpus.curate.split import Split, agreed, count_for_split
from groundup.corpus.documents import read_batches
from groundup.corpus.duplicates.search import SCORES, DuplicateSearch, SearchTask
from groundup.corpus.finished import part_folder
from groundup.corpus.phases import Phases

KEPT, QUALITY, EXACT, NEAR = range(4)
RULES = {QUALITY: "quality", EXACT: "exact-duplicate", NEAR: "near-duplicate"}


_DECIDED, _DECISIONS, _FACTS = "decided", "decisions.npz", "facts.parquet"
ALONE = 1 << 21  # documents up to which starting an engine's workers takes longer than the work


@dataclass
class Decisions:
    """What becomes of the candidates of a partition, one row each."""

    end: NDArray[np.uint8]  # KEPT, or a key of RULES
    value: NDArray[np.float32]  # what the rule measured: the quality, or the similarity
    instead: NDArray[np.uint64]  # [candidates, 2] the id of the document that is kept instead of a duplicate
    quality: NDArray[np.float32]  # NaN where there is no classifier
    thresholds: NDArray[np.float64]  # [ends] of all candidates alike; NaN for an end that has none
    first: NDArray[np.int64]  # [1] the number of the first candidate, counted over all partitions

    def save(self, folder: Path) -> None:
        np.savez(folder / _DECISIONS, **{one.name: getattr(self, one.name) for one in fields(self)})


@dataclass(frozen=True)
class Decided:
    """All decisions, for the pass that applies them."""

    search: DuplicateSearch
    split: Split
    facts_from: dict[int, tuple[int, ...]]
    """Partition -> those that have facts for its candidates."""

    def of(self, number: int) -> Decisions:
        """Those of a partition."""
        with np.load(self._folder(number) / _DECISIONS) as found:
            return Decisions(**dict(found))

    def heldout(self, number: int, decisions: Decisions) -> NDArray[np.bool_]:
        """[candidates] of a partition."""
        ids = self.search.rows(self.search.earlier_parts + number).ids
        return self.split.heldout(ids[:, 0], decisions.end == KEPT, int(decisions.first[0]))

    def inherited(self, number: int, decisions: Decisions) -> dict[int, list[dict[str, str]]]:
        """Candidate -> the facts that it inherits, in the order of its duplicates."""
        found: dict[int, list[dict[str, str]]] = {}
        first = int(decisions.first[0])
        for other in self.facts_from.get(number, ()):
            for batch in read_batches(self._folder(other) / _FACTS):
                for row in batch.to_pylist():
                    if 0 <= row["to"] - first < len(decisions.end):
                        found.setdefault(row["to"] - first, []).extend(row["facts"])
        return found

    def _folder(self, number: int) -> Path:
        return part_folder(self.search.folder / _DECIDED, self.search.earlier_parts + number)


def decide(search: DuplicateSearch, config: CurateConfig, counts: Counts, phases: Phases) -> tuple[Decided, Figures]:
    """Decide about all candidates.

    Args:
        search: the candidates' fingerprints, rows and scores.
        config: the `curate:` section.
        counts: to which the steps are added.
        phases: where the work is done.

    Returns:
        The decisions, and JSON-ready figures of what was decided and how.
    """
    from groundup.corpus.duplicates.near import find
    from groundup.corpus.duplicates.recall import expected, measured

    search.prepare()
    if search.starts[-1] <= ALONE:
        phases = phases.alone()
    own = range(search.earlier_parts, search.parts)
    found = find(search, phases)
    tasks = [DecideTask(search, _DECIDED, part, config=config) for part in own]
    figures = phases.run("deciding", search.folder / _DECIDED, decide_part, tasks)
    for part in figures:
        for step, (documents, size) in part["left"].items():
            counts.step(step, documents, size)
    facts: dict[int, list[int]] = {}
    for number, part in enumerate(figures):
        for to in part["facts_for"]:
            facts.setdefault(to, []).append(number)
    split = agreed(config.heldout, (part["split"] for part in figures))
    said: Figures = {"quality": {"threshold": search.least_quality}} if config.quality is not None else {}
    said["duplicates"] = {
        **found,
        "expected": expected((part["pairs"] for part in figures), search.config),
        "measured": measured(search, phases),
    }
    if wanted := repeated_units(config):
        from groundup.corpus.duplicates.repeated import find_repeated

        said["repeated"] = {
            f"different {unit}s": find_repeated(search, f"{_DECIDED}/{_DECISIONS}", unit, units_file(unit), one, phases)
            for unit, one in wanted.items()
        }
    return Decided(search, split, {to: tuple(parts) for to, parts in facts.items()}), said


def quality_threshold(scores: Path, parts: int, config: CurateConfig) -> float:
    """The least quality of a document that is kept.

    Args:
        scores: has a folder for each partition.
        parts: how many these are.
        config: the `curate:` section, with a `quality:`.
    """
    from groundup.corpus.quality.threshold import threshold_keeping

    assert config.quality is not None
    if config.quality.threshold is not None:
        return config.quality.threshold
    assert config.quality.keep is not None
    files = [part_folder(scores, number) / SCORES for number in range(parts)]
    return threshold_keeping(lambda: map(np.load, files), config.quality.keep)


@dataclass(frozen=True, kw_only=True)
class DecideTask(SearchTask):
    """The decisions about one partition's candidates, as a task."""

    config: CurateConfig


def decide_part(task: DecideTask) -> Figures:
    """Decide about the candidates of one partition, after `find`."""
    return task.run(lambda folder: _decide(task, folder))


def _decide(task: DecideTask, folder: Path) -> Figures:
    from groundup.corpus.duplicates.near import duplicates_of
    from groundup.corpus.duplicates.recall import found_pairs

    search, config = task.search, task.config
    rows, quality = search.rows(task.number), search.quality(task.number)
    first = int(search.starts[task.number]) - search.before
    end, value = np.zeros(len(rows), np.uint8), np.zeros(len(rows), np.float32)
    instead = np.zeros((len(rows), 2), np.uint64)
    thresholds = np.full(len(RULES) + 1, np.nan)
    thresholds[NEAR] = search.config.threshold
    steps = {"exact duplicates": (KEPT, NEAR), "near-duplicates": (KEPT,)}
    if config.quality is not None:
        thresholds[QUALITY] = search.least_quality
        end[~search.alive(task.number)] = QUALITY
        value[:] = quality
        steps = {"quality": (KEPT, EXACT, NEAR), **steps}
    found = duplicates_of(search, task.number)
    end[found.rows] = np.where(found.exact, EXACT, NEAR)
    value[found.rows] = found.similarity
    instead[found.rows] = found.ids
    Decisions(end, value, instead, quality, thresholds, np.array([first])).save(folder)
    source = search.source(task.number)
    alive = {step: np.isin(end, ends) for step, ends in steps.items()}
    return {
        "left": {step: [int(left.sum()), int(rows.sizes[left].sum())] for step, left in alive.items()},
        "pairs": found_pairs(found, search.config),
        "split": count_for_split(rows.ids[:, 0], config.heldout, end == KEPT, first),
        "facts_for": _write_inherited(source / CANDIDATES, folder / _FACTS, found.rows, found.kept, search),
    }


def _write_inherited(
    candidates: Path, target: Path, duplicates: NDArray[np.int64], kept: NDArray[np.int64], search: DuplicateSearch
) -> Sequence[int]:
    """Write down which facts go to which candidate; returns the partitions of these.

    A duplicate passes the facts about its own subjects on to the document that is kept: `json.dumps` is described by
    the words of `json.dump`, and can still be asked about.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    own = kept >= search.before
    duplicates, kept = duplicates[own], kept[own]
    if not len(duplicates):
        return []
    found: list[pa.Table] = []
    at = 0
    for batch in read_batches(candidates, ["facts"]):
        low, high = np.searchsorted(duplicates, (at, at + batch.num_rows))
        facts = batch.column("facts").take(pa.array(duplicates[low:high] - at))
        inherited = pa.table({"to": kept[low:high] - search.before, "facts": facts})
        found.append(inherited.filter(pc.greater(pc.list_value_length(facts), 0)))
        at += batch.num_rows
    everything = pa.concat_tables(found)
    if not len(everything):
        return []
    pq.write_table(everything, target)
    parts = search.part_of(everything.column("to").to_numpy() + search.before) - search.earlier_parts
    return np.unique(parts).tolist()
