"""The threshold is the one that sorting finds, however the scores are parted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.quality.threshold import threshold_keeping

SCORES = st.lists(st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, -0.0, 0.5, 1.0])), min_size=1, max_size=60)


@given(SCORES, st.floats(0.001, 1), st.integers(1, 5))
def test_it_is_the_score_that_sorting_finds(scores, fraction, parts):
    values = np.array(scores, dtype=np.float32)
    threshold = threshold_keeping(lambda: np.array_split(values, parts), fraction)
    wanted = int(np.ceil(fraction * len(values) - 1e-9))
    assert threshold == np.sort(values)[::-1][wanted - 1]
    assert (values >= threshold).sum() >= wanted
    assert (values > threshold).sum() < wanted


def test_documents_without_a_score_do_not_count():
    scores = np.array([np.nan, 0.1, 0.9, np.nan, 0.5, 0.7], dtype=np.float32)
    assert threshold_keeping(lambda: [scores], 0.5) == np.float32(0.7)
    assert threshold_keeping(lambda: [scores[:1]], 0.5) == 0
    assert threshold_keeping(lambda: [], 0.5) == 0
