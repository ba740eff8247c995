"""py3langid's model, as a kernel: the same features, the same scores, some ten times as fast.

An automaton reads the bytes of a text; some of its states have a feature, a sequence of bytes that distinguishes
languages. The score of a language is its prior and, for each feature, log(1 + how often it occurs) times the feature's
weight (naive Bayes; Lui and Baldwin, 2012). Scores are divided by the square root of the bytes, which keeps the
probabilities that they make calibrated for texts of any length.

Sums are made in the order in which features first occur, so that every machine gets the same; py3langid leaves the
order to the machine's BLAS, and its probabilities differ from these in the fourth digit and after.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Bytes, Offsets, longest_text
from groundup.kernels.compilation import kernel


class NaiveBayes:
    """py3langid's bundled model.

    Args:
        weights: float32 [features, classes].
        priors: float32 [classes].
        classes: the languages; some mean two classes, which are added up.
        moves: the automaton: `moves[rows[state] << 8 | byte]` is the next state.
        rows: [states] where a state's moves are.
        features: [states] the feature that a state means, or -1.
    """

    def __init__(
        self,
        weights: NDArray[np.float32],
        priors: NDArray[np.float32],
        classes: list[str],
        moves: NDArray[np.uint32],
        rows: NDArray[np.uint32],
        features: NDArray[np.int32],
    ) -> None:
        self._weights, self._priors, self._classes = weights, priors, np.array(classes, dtype=object)
        self._moves, self._rows, self._features = moves, rows, features
        self._same_as = np.array([classes.index(one) for one in classes])

    def predict(self, data: Bytes, offsets: Offsets) -> tuple[list[str], NDArray[np.float32]]:
        """The most likely language of each text, and its probability.

        Args:
            data: texts in UTF-8 and NFC; no text may be of capital letters alone, which the model has not seen.
            offsets: [texts + 1] where each starts, and the last one's end.
        """
        best, probabilities = _predicted(
            data, offsets, self._weights, self._priors, self._same_as, self._moves, self._rows, self._features
        )
        return self._classes[best].tolist(), probabilities.round(6).astype(np.float32)


@cache
def bundled() -> NaiveBayes:
    """The model that py3langid brings along."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    weights, priors, classes, moves, rows, features = load_model(MODEL_DIR / MODEL_FILE)
    return NaiveBayes(
        np.asarray(weights, dtype=np.float32),
        np.asarray(priors, dtype=np.float32),
        list(classes),
        np.array(moves, dtype=np.uint32),
        np.array(rows, dtype=np.uint32),
        np.array(features, dtype=np.int32),
    )


@kernel
def _predicted(
    data: Bytes,
    offsets: Offsets,
    weights: NDArray[np.float32],
    priors: NDArray[np.float32],
    same_as: NDArray[np.int64],
    moves: NDArray[np.uint32],
    rows: NDArray[np.uint32],
    features: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    texts, classes = len(offsets) - 1, len(priors)
    best, probabilities = np.zeros(texts, np.int64), np.zeros(texts, np.float64)
    times = np.zeros(len(weights), np.int32)
    longest = longest_text(offsets)
    found = np.empty(longest, np.int64)
    scores = np.empty(classes, np.float32)
    fractions = np.empty(classes, np.float64)
    for text in range(texts):
        start, end = offsets[text], offsets[text + 1]
        state, different = np.int64(0), 0
        for at in range(start, end):
            state = np.int64(moves[(np.int64(rows[state]) << 8) + np.int64(data[at])])
            feature = np.int64(features[state])
            if feature >= 0:
                if times[feature] == 0:
                    found[different] = feature
                    different += 1
                times[feature] += 1
        scores[:] = np.float32(0)
        for one in range(different):
            feature = found[one]
            factor = np.float32(np.log1p(np.float64(times[feature])))
            times[feature] = 0
            row = weights[feature]
            for number in range(classes):
                scores[number] += factor * row[number]
        if different:
            for number in range(classes):
                scores[number] += priors[number]
        scale = 1.0 / np.sqrt(max(1.0, np.float64(end - start)))
        highest = np.float64(scores.max())
        fractions[:] = 0.0
        total = 0.0
        for number in range(classes):
            fraction = np.exp((np.float64(scores[number]) - highest) * scale)
            fractions[same_as[number]] += fraction
            total += fraction
        best[text] = np.argmax(fractions)
        probabilities[text] = fractions[best[text]] / total
    return best, probabilities
