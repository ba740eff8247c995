"""From examples to a calibrated classifier that is measured on examples it has not seen.

examples -> held-out | rest
rest -> folds: each is scored by a model of the others -> calibration
rest -> the model -> scores of the held-out -> evaluation
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groundup.corpus.quality.calibration import Calibration, platt
from groundup.corpus.quality.configuration import EPOCHS, LEARNING_RATE, Kind, QualityTraining
from groundup.corpus.quality.evaluation import Evaluation, evaluate
from groundup.corpus.quality.examples import Examples, labelled
from groundup.corpus.quality.model import Classifier, Model
from groundup.errors import GroundupError
from groundup.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Trained:
    """A model and how good it is."""

    model: Model
    heldout: Examples
    evaluation: Evaluation
    """Of the held-out examples."""


def train(
    examples: Examples, config: QualityTraining, progress: Progress | None = None, threshold: float = 0.5
) -> Trained:
    """Train, calibrate and measure a classifier.

    Args:
        examples: both those to learn from and those to hold out.
        config: kind, features, epochs, held-out fraction.
        progress: where to show the work.
        threshold: at which precision and recall are measured.

    Raises:
        GroundupError: there are too few examples of either kind, or the extra `fasttext` is missing.
    """
    learned, heldout = examples.parted(config.heldout)
    for some, least, which in ((learned, config.folds, "learn from"), (heldout, 1, "hold out")):
        if min(int(some.good.sum()), int((~some.good).sum())) < least:
            raise GroundupError(
                f"{int(some.good.sum())} good and {int((~some.good).sum())} bad texts are too few to {which}",
                where="quality.train",
                do=f"give more examples: {least} of each kind at least" if least > 1 else "give more examples",
            )
    classifier = fit(learned.texts, learned.good, config, progress)
    calibration = cross_calibrated(learned, config, progress)
    model = Model(classifier, calibration)
    margins = classifier.margins(heldout.texts)
    evaluation = evaluate(calibration.scores(margins), heldout.good, threshold)
    uncalibrated = evaluate(Calibration().scores(margins), heldout.good, threshold)
    training: dict[str, Any] = {
        "configuration": _described(config),
        "examples": {"learned": learned.counts(), "heldout": heldout.counts()},
        "heldout": evaluation.figures(),
        "uncalibrated": {
            "calibration_error": uncalibrated.calibration_error,
            "log_loss": uncalibrated.log_loss,
        },
    }
    return Trained(Model(model.classifier, calibration, training), heldout, evaluation)


def learn(good: Iterable[str], bad: Iterable[str], kind: Kind = "linear", heldout: float = 0.2) -> Trained:
    """Train a classifier of good text from texts in memory.

    >>> trained = learn([f"a reasoned text {n}" for n in range(60)], [f"buy now {n}" for n in range(60)])
    >>> trained.model.kind, trained.evaluation.documents > 10
    ('linear', True)

    Args:
        good: texts of the kind that is wanted.
        bad: texts of the other kind.
        kind: `linear`, or `fasttext` with the extra of that name.
        heldout: fraction of the texts that is measured with and not learned from, chosen by their hashes.

    Raises:
        GroundupError: there are too few texts of either kind.
    """
    return train(labelled(good, bad), QualityTraining(good=(Path("good"),), kind=kind, heldout=heldout))


def fit(
    texts: "pa.Array", good: NDArray[np.bool_], config: QualityTraining, progress: Progress | None = None
) -> Classifier:
    """A classifier of the kind that the configuration names, not calibrated."""
    if config.kind == "fasttext":
        from groundup.corpus.quality.fasttext import train_fasttext

        return train_fasttext(texts, good, config, progress)
    from groundup.corpus.quality.linear import train_linear

    return train_linear(texts, good, config, progress)


def cross_calibrated(examples: Examples, config: QualityTraining, progress: Progress | None = None) -> Calibration:
    """Platt scaling on margins that each come from a model which has not learned from that example.

    So no example is lost to calibration, and the margins are as wide as those of new texts, not as those of texts
    that the model knows. Folds hold equal fractions of good and bad texts.
    """
    fold = np.empty(len(examples), dtype=np.int64)
    for label in (False, True):
        rows = np.flatnonzero(examples.good == label)  # in the order of their digests: as good as drawn
        fold[rows] = np.arange(len(rows)) % config.folds
    margins = np.empty(len(examples))
    for number in range(config.folds):
        others = examples.take(np.flatnonzero(fold != number))
        own = np.flatnonzero(fold == number)
        margins[own] = fit(others.texts, others.good, config, progress).margins(examples.take(own).texts)
    return platt(margins, examples.good)


def _described(config: QualityTraining) -> dict[str, Any]:
    """The configuration with the defaults of its kind, without paths."""
    described = config.result_affecting()
    described["epochs"] = config.epochs or EPOCHS[config.kind]
    described["learning_rate"] = config.learning_rate or LEARNING_RATE[config.kind]
    return described
