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
from groundup.kernels.bits import prefetch
from groundup.kernels.compilation import Integer, helper, kernel

_FACTORS = 256  # occurrences of which the logarithm is kept
LANES = 4  # texts that are read at a time
_AHEAD, _CACHE_LINE = 4, 64  # rows of the 57 MB of weights that are fetched before they are needed; bytes


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


@helper
def _moved(state: Integer, byte: Integer, moves: NDArray[np.uint32], rows: NDArray[np.uint32]) -> Integer:
    return np.int64(moves[(np.int64(rows[state]) << 8) + np.int64(byte)])


@helper
def _read(
    data: Bytes,
    offsets: Offsets,
    first: Integer,
    moves: NDArray[np.uint32],
    rows: NDArray[np.uint32],
    features: NDArray[np.int32],
    seen: NDArray[np.int32],
    counts: Offsets,
) -> None:
    """Write the features in the texts from `first` on to `seen`, and how many there are to `counts`; LANES texts.

    Each move waits for memory (the table has 39 MB) and for the move before it, so several texts are read at a time.
    """
    texts = min(LANES, len(offsets) - 1 - first)
    states = np.zeros(LANES, np.int64)
    common = np.int64(0)
    if texts == LANES:
        at0, at1, at2, at3 = offsets[first], offsets[first + 1], offsets[first + 2], offsets[first + 3]
        common = min(min(at1 - at0, at2 - at1), min(at3 - at2, offsets[first + 4] - at3))
        state0 = state1 = state2 = state3 = np.int64(0)
        count0: Integer = np.int64(0)
        count1: Integer = np.int64(0)
        count2: Integer = np.int64(0)
        count3: Integer = np.int64(0)
        for at in range(common):
            state0 = _moved(state0, data[at0 + at], moves, rows)
            state1 = _moved(state1, data[at1 + at], moves, rows)
            state2 = _moved(state2, data[at2 + at], moves, rows)
            state3 = _moved(state3, data[at3 + at], moves, rows)
            seen[0, count0], seen[1, count1] = features[state0], features[state1]
            seen[2, count2], seen[3, count3] = features[state2], features[state3]
            count0, count1 = count0 + (features[state0] >= 0), count1 + (features[state1] >= 0)
            count2, count3 = count2 + (features[state2] >= 0), count3 + (features[state3] >= 0)
        states[0], states[1], states[2], states[3] = state0, state1, state2, state3
        counts[0], counts[1], counts[2], counts[3] = count0, count1, count2, count3
    else:
        counts[:] = 0
    for lane in range(texts):
        state, count = states[lane], counts[lane]
        for at in range(offsets[first + lane] + common, offsets[first + lane + 1]):
            state = _moved(state, data[at], moves, rows)
            seen[lane, count] = features[state]
            count += features[state] >= 0
        counts[lane] = count


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
    seen, counts = np.empty((LANES, longest + 1), np.int32), np.zeros(LANES, np.int64)
    scores = np.empty(classes, np.float32)
    address, row_bytes = weights.ctypes.data, np.int64(4) * classes
    factors = np.empty(_FACTORS, np.float32)
    for often in range(_FACTORS):
        factors[often] = np.float32(np.log1p(np.float64(often)))
    fractions = np.empty(classes, np.float64)
    for text in range(texts):
        lane = text % LANES
        if lane == 0:
            _read(data, offsets, text, moves, rows, features, seen, counts)
        start, end, different = offsets[text], offsets[text + 1], 0
        for at in range(counts[lane]):
            feature = np.int64(seen[lane, at])
            if times[feature] == 0:
                found[different] = feature
                different += 1
            times[feature] += 1
        scores[:] = np.float32(0)
        for one in range(different):
            feature = found[one]
            if one + _AHEAD < different:
                next_row = address + row_bytes * found[one + _AHEAD]
                for line in range(0, row_bytes, _CACHE_LINE):
                    prefetch(next_row + line)
            often = times[feature]
            factor = factors[often] if often < _FACTORS else np.float32(np.log1p(np.float64(often)))
            times[feature] = 0
            for number in range(classes):
                scores[number] += factor * weights[feature, number]
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
