"""The checker that knows the true answer: exact match and token F1 against the documentation."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundup.corpus.words import split_words

_WORD = re.compile(r"\w+|[^\w\s]")


def _words(text: str) -> Counter[str]:
    """Words and punctuation marks, in small letters; a script without spaces is compared letter by letter."""
    return Counter(part for word in split_words(text.lower()) for part in _WORD.findall(word))


def token_f1(answer: str, truth: str) -> float:
    """Harmonic mean of precision and recall over words and punctuation in any order (SQuAD, arXiv 1606.05250)."""
    given, wanted = _words(answer), _words(truth)
    shared = sum((given & wanted).values())
    if shared == 0:
        return float(given == wanted)
    precision, recall = shared / sum(given.values()), shared / sum(wanted.values())
    return 2 * precision * recall / (precision + recall)


def exact(answer: str, truth: str) -> bool:
    """Equal to the letter in NFC, except for white space at the ends."""
    return unicodedata.normalize("NFC", answer.strip()) == unicodedata.normalize("NFC", truth.strip())


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    differences: Sequence[float],
    groups: Sequence[str],
    resamples: int,
    seed: int,
    trainings: Sequence[int] | None = None,
) -> Interval:
    """Percentile bootstrap of the mean over groups (Efron 1979).

    The questions about one subject are drawn together: their scores are not independent, and an interval that took
    them for so would be too narrow.

    Args:
        trainings: which of several trainings each difference is of, numbered from 0. They are drawn too, each with all
            of its questions (Owen 2007): of few the interval is rather too narrow.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    training = np.zeros(len(index), dtype=np.int64) if trainings is None else np.asarray(trainings)
    shape = int(training.max()) + 1, len(names)
    cell = training * len(names) + index
    sums = np.bincount(cell, np.asarray(differences, dtype=np.float64), shape[0] * shape[1]).reshape(shape)
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for sample in range(resamples):
        drawn = np.bincount(rng.integers(0, shape[1], shape[1]), minlength=shape[1])
        of = np.bincount(rng.integers(0, shape[0], shape[0]), minlength=shape[0]) if shape[0] > 1 else np.ones(1)
        means[sample] = (of @ sums @ drawn) / (of @ counts @ drawn)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.mean(differences)), float(low), float(high))
