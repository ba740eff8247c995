"""Encoding of words: the ids equal those of merges applied one after the other, on the short and the long path."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokenizer import encoding
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.encoding import LONG_WORD, Encoder


def apply_merges(word: bytes, pairs: list[list[int]]) -> list[int]:
    """Every merge in the order learnt, from left to right."""
    tokens = list(word)
    for merge, pair in enumerate(pairs):
        at = 0
        while at < len(tokens) - 1:
            if tokens[at : at + 2] == pair:
                tokens[at : at + 2] = [256 + merge]
            at += 1
    return tokens


MERGES = train_merges({b"abcabcab": 5, b"aaaaaaaaab": 3, b"bcbcbcbaab": 2, b"ccab": 7}, 40, min_frequency=1).pairs


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("abcd", max_size=2 * LONG_WORD).map(str.encode) | st.binary(max_size=30), max_size=5))
def test_ids_equal_merges_one_after_the_other(words: list[bytes]) -> None:
    ids, offsets = Encoder(MERGES).encode_words(words)
    cut = [ids[offsets[at] : offsets[at + 1]].tolist() for at in range(len(words))]
    assert cut == [apply_merges(word, MERGES.tolist()) for word in words]


def test_both_paths_agree_at_the_boundary() -> None:
    rng = np.random.default_rng(0)
    for length in (LONG_WORD - 1, LONG_WORD, LONG_WORD + 1):
        word = bytes(rng.choice(list(b"abc"), length).tolist())
        ids, _ = Encoder(MERGES).encode_words([word])
        assert ids.tolist() == apply_merges(word, MERGES.tolist())


def test_a_long_word_is_not_quadratic() -> None:
    encoder = Encoder(MERGES)
    encoder.encode_words([b"ab" * LONG_WORD])  # compiled
    started = time.monotonic()
    ids, _ = encoder.encode_words([b"abc" * 700_000])
    assert time.monotonic() - started < 5  # a quadratic run of 2.1 MB takes hours
    assert len(ids) < 700_000


def test_no_merges_and_no_words() -> None:
    ids, offsets = Encoder(np.empty((0, 2), dtype=np.int32)).encode_words([b"ab", b"", b"c"])
    assert ids.tolist() == [97, 98, 99]
    assert offsets.tolist() == [0, 2, 2, 3]
    ids, offsets = Encoder(MERGES).encode_words([])
    assert ids.size == 0
    assert offsets.tolist() == [0]


def test_large_ids_do_not_overflow() -> None:
    """Pairs of ids beyond 16 bits are told apart."""
    tokens = 1 << 17
    pairs = np.array([[0, 1]] + [[256 + at, 2] for at in range(tokens)], dtype=np.int32)
    ids, _ = Encoder(pairs).encode_words([bytes([0, 1]) + bytes([2]) * (LONG_WORD - 2)])
    assert ids.tolist() == [256 + LONG_WORD - 2]
    encoder = Encoder(pairs)
    assert encoding._merged(256 + tokens - 1, 2, encoder._keys, encoder._ids) == 256 + tokens
