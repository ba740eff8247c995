"""The features that the kernel hashes are those of a plain reading of its rules, and hashing spreads them."""

import re

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.quality.features import RING, hashed
from groundup.kernels.arrow import buffers

BUCKETS = 1 << 20
# The rules, read off the documentation: runs of letters and digits; else one printable character each.
ALONE = "\u0080-\u00bf\u2000-\u2fff\u3000-\u9fff\U00010000-\U0010ffff"
WORD = re.compile(rf"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f{ALONE}]+|[\x21-\x7e{ALONE}]")


def features_of(text, word_ngrams=2, buckets=BUCKETS):
    buffer, offsets = buffers(pa.array([text]))
    found = np.zeros(max(1, word_ngrams * len(buffer)), np.uint32)
    count = hashed(buffer, offsets[0], offsets[1], word_ngrams, np.zeros(RING, np.uint64), buckets, found)
    return found[:count].tolist()


def lowered(word):
    return "".join(character.lower() if character.isascii() else character for character in word)


def words_of(text):
    return [lowered(word) for word in WORD.findall(text)]


@settings(max_examples=300, deadline=None)
@given(st.text(st.one_of(st.sampled_from("aB1 .,'\n\t-é大ー“Ωя👍\u00a0"), st.characters(codec="utf-8")), max_size=60))
def test_words_are_those_of_the_rules(text):
    """Equal sequences of words give equal features, whatever is between them; there is one for each word and one
    for each pair of neighbours."""
    words = words_of(text)
    found = features_of(text)
    assert len(found) == max(0, 2 * len(words) - 1)
    assert found == features_of(" ".join(words)) == features_of("\n \t".join(words))
    assert features_of(text, 1) == [features_of(word, 1)[0] for word in words]


@given(st.lists(st.sampled_from(["don't", "Panic", "x1", "大丈夫", "é"]), max_size=9), st.integers(1, 5))
def test_runs_of_words_up_to_n(words, longest):
    """A run's feature depends on its words and their order alone, not on where in the text it is."""
    text = " ".join(words)
    split = words_of(text)
    expected = []
    for at in range(len(split)):
        for length in range(1, min(longest, at + 1) + 1):
            expected.append(features_of(" ".join(split[at + 1 - length : at + 1]), longest)[-1])
    assert features_of(text, longest) == expected


def test_example_of_the_documentation():
    assert words_of("Don't panic, 大丈夫") == ["don", "'", "t", "panic", ",", "大", "丈", "夫"]
    assert features_of("a b") != features_of("b a")
    assert features_of("aB") == features_of("Ab") != features_of("a b")


def test_hashing_spreads():
    """30,000 different words and pairs fall into 2^20 buckets about as often together as by chance, and so do their
    low bits: 2^10 buckets are filled evenly."""
    words = [f"word{number}" for number in range(15_000)]
    found = features_of(" ".join(words))
    n = len(found)
    expected = BUCKETS * (1 - (1 - 1 / BUCKETS) ** n)
    assert abs(len(set(found)) - expected) < 5 * (n**2 / 2 / BUCKETS) ** 0.5
    filled = np.bincount(np.array(features_of(" ".join(words), buckets=1 << 10)), minlength=1 << 10)
    chi_square = float(((filled - n / 1024) ** 2 / (n / 1024)).sum())
    assert abs(chi_square - 1023) < 6 * (2 * 1023) ** 0.5
