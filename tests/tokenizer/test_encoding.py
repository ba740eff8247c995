"""Encoding of words: the ids equal those of merges applied one after the other, whatever path a word takes."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokenizer import encoding
from groundup.tokenizer.batches import batch_of
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.encoding import LONG_WORD, Encoder
from groundup.tokenizer.vocabulary import trained


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
WORDS = st.text("abcd", max_size=2 * LONG_WORD).map(str.encode) | st.text("abc", max_size=9).map(str.encode)


def encode(encoder: Encoder, words: list[bytes]) -> list[list[int]]:
    ids, offsets = encoder.encode(batch_of(words), whole=True)
    return [ids[offsets[at] : offsets[at + 1]].tolist() for at in range(len(words))]


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=30), max_size=9))
def test_ids_equal_merges_one_after_the_other(words: list[bytes]) -> None:
    encoder = Encoder(trained(MERGES, "gpt2"))
    expected = [apply_merges(word, MERGES.tolist()) for word in words]
    assert encode(encoder, words) == expected
    assert encode(encoder, words) == expected  # now from the words that are kept


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS | st.binary(max_size=15), min_size=5, max_size=60), st.booleans())
def test_a_tiny_table_of_kept_words_changes_nothing(words: list[bytes], wide: bool) -> None:
    """Words push each other out all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "KEPT_WORDS", 2)
        encoder = Encoder(trained(MERGES, "gpt2"))
        encoder._bits = 32 if wide else 16
        assert encode(encoder, words + words[::-1]) == [apply_merges(w, MERGES.tolist()) for w in words + words[::-1]]


def test_all_paths_agree_at_their_boundaries() -> None:
    rng = np.random.default_rng(0)
    encoder = Encoder(trained(MERGES, "gpt2"))
    for length in (14, 15, 16, LONG_WORD - 1, LONG_WORD, LONG_WORD + 1, 4095, 4096, 4097):
        word = bytes(rng.choice(list(b"abcd"), length).tolist())
        for _ in range(2):
            assert encode(encoder, [word]) == [apply_merges(word, MERGES.tolist())]


def test_a_long_word_is_not_quadratic() -> None:
    encoder = Encoder(trained(MERGES, "gpt2"))
    encode(encoder, [b"ab" * LONG_WORD])  # compiled
    started = time.monotonic()
    (ids,) = encode(encoder, [b"abc" * 700_000])
    assert time.monotonic() - started < 5  # a quadratic run of 2.1 MB takes hours
    assert len(ids) < 700_000
    ((_, scratch),) = encoder._idle
    assert len(scratch.tokens) < 10_000  # the room it took is given back


def test_no_merges_and_no_words() -> None:
    encoder = Encoder(trained([], "gpt2"))
    assert encode(encoder, [b"ab", b"", b"c"]) == [[97, 98], [], [99]]
    assert encode(encoder, []) == []


def test_large_ids_do_not_overflow() -> None:
    """Pairs of ids beyond 16 bits are distinguished, and kept words hold such ids."""
    steps = [bytes([0, 1, 3 + at // 200, 3 + at % 200]) for at in range(40_000)]
    pairs = [[0, 1], *([256, 3 + high] for high in range(200))]
    pairs += [[257 + at // 200, 3 + at % 200] for at in range(40_000)]
    pairs += [[457 + at, 2] for at in range(40_000)]
    encoder = Encoder(trained(pairs, "gpt2"))
    rows = [[457 + at] for at in range(80_000)]
    words = steps + [step + b"\x02" for step in steps]
    assert encode(encoder, words) == rows
    assert encode(encoder, words[:50] * 2) == rows[:50] * 2
    assert encode(encoder, words[-50:] * 2) == rows[-50:] * 2


@pytest.mark.slow
@pytest.mark.parametrize("letters", ["a", "abc", "abcdefghijklmnopqrstuvwxyz"])
def test_time_is_about_linear_in_a_word_of_10_mb(letters: str) -> None:
    rng = np.random.default_rng(0)
    encoder = Encoder(trained(MERGES, "gpt2"))
    word = bytes(rng.choice(list(letters.encode()), 10_000_000).tolist())
    seconds = []
    for part in (word[:1000], word[:1_000_000], word):
        started = time.monotonic()
        (ids,) = encode(encoder, [part])
        seconds.append(time.monotonic() - started)
        assert len(ids) <= len(part)
    assert seconds[2] < 40 * seconds[1]
