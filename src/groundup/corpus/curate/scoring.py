"""How good each candidate is by a quality classifier: the classifier is loaded, or trained, and asked in one pass.

It is trained in the pass between reading and deciding, because its examples of bad text may be the candidates
themselves: a sample of what is curated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundup.artifacts.work import Figures
from groundup.corpus.curate.candidates import CANDIDATES
from groundup.corpus.documents import read_batches
from groundup.corpus.duplicates.search import SCORES
from groundup.corpus.finished import part_folder, run_or_reuse
from groundup.corpus.quality.configuration import Quality
from groundup.progress import Progress


@dataclass(frozen=True)
class ScoreTask:
    """The scoring of one partition's candidates, as a task."""

    number: int
    model: Path
    good_label: str
    candidates: Path
    """The folder of the first pass."""
    folder: Path


def score_partition(task: ScoreTask) -> Figures:
    """Score the partition's candidates, or find that an earlier run did."""
    return run_or_reuse(task.folder, task.number, lambda folder: _score(task, folder))


def _score(task: ScoreTask, folder: Path) -> Figures:
    from groundup.corpus.quality.model import load

    model = load(task.model, task.good_label)
    scores = [np.zeros(0, np.float32)]
    for batch in read_batches(part_folder(task.candidates, task.number) / CANDIDATES, ["text"]):
        scores.append(model.scores(batch.column("text")))
    np.save(folder / SCORES, np.concatenate(scores))
    return {}


def classifier(
    config: Quality, base: Path, candidates: Sequence[Path], keep: Path, progress: Progress
) -> tuple[Path, Figures]:
    """`(where the classifier lies, what it was trained on and how it did)`; it is trained if the configuration says so.

    Args:
        config: the `quality:` section.
        base: relative paths start here.
        candidates: the folders of the partitions' candidates.
        keep: where a trained classifier is kept.
        progress: where to show the training.
    """
    from groundup.corpus.quality.examples import read_examples
    from groundup.corpus.quality.model import load
    from groundup.corpus.quality.training import train

    if config.train is None:
        assert config.model is not None
        path = base / config.model.expanduser()
        return path, load(path, config.good_label).training
    wanted = config.train

    def make(folder: Path) -> Figures:
        examples = read_examples(wanted, base, _texts(candidates), progress)
        trained = train(examples, wanted, progress, config.threshold or 0.5)
        trained.model.save(folder)
        return trained.model.training

    training = run_or_reuse(keep, 0, make)
    return part_folder(keep, 0), training


def _texts(candidates: Sequence[Path]) -> Iterator[str]:
    """All candidates' texts, one at a time."""
    for part in candidates:
        for batch in read_batches(part / CANDIDATES, ["text"]):
            yield from batch.column("text").to_pylist()
