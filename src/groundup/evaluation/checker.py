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


def bootstrap(differences: Sequence[float], groups: Sequence[str], resamples: int, seed: int) -> Interval:
    """Percentile bootstrap of the mean over groups (Efron 1979).

    The questions about one subject are drawn together: their scores are not independent, and an interval that took
    them for so would be too narrow.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(differences, dtype=np.float64))
    counts = np.bincount(index)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for sample in range(resamples):
        drawn = rng.integers(0, len(names), len(names))
        means[sample] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.mean(differences)), float(low), float(high))
