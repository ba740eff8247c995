"""Training: the merges equal those of a trainer that counts everything again at every step."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokenizer import bpe
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.interchange import CHARACTERS
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.word_counts import count_words


def replace(tokens: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Merge a pair from left to right."""
    result, at = [], 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == pair:
            result.append(new)
            at += 2
        else:
            result.append(tokens[at])
            at += 1
    return result


def brute_force(words: dict[bytes, int], merges: int, min_frequency: int) -> tuple[list[tuple[int, int]], list[int]]:
    cut = [(list(word), count) for word, count in words.items()]
    pairs, counts = [], []
    for new in range(256, 256 + merges):
        seen: Counter[tuple[int, int]] = Counter()
        for tokens, count in cut:
            for pair in pairwise(tokens):
                seen[pair] += count
        if not seen:
            break
        best = min(seen, key=lambda pair: (-seen[pair], pair))
        if seen[best] < min_frequency:
            break
        pairs.append(best)
        counts.append(seen[best])
        cut = [(replace(tokens, best, new), count) for tokens, count in cut]
    return pairs, counts


WORDS = st.dictionaries(
    st.text("abc", max_size=12).map(str.encode) | st.binary(max_size=6), st.integers(1, 9), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(words=WORDS, merges=st.integers(0, 40), min_frequency=st.integers(1, 4))
def test_merges_equal_brute_force(words: dict[bytes, int], merges: int, min_frequency: int) -> None:
    pairs, counts = brute_force(words, merges, min_frequency)
    learnt = train_merges(words, merges, min_frequency)
    assert [tuple(pair) for pair in learnt.pairs.tolist()] == pairs
    assert learnt.counts.tolist() == counts


@settings(max_examples=50, deadline=None)
@given(words=WORDS, seed=st.randoms(use_true_random=False))
def test_order_of_the_words_does_not_matter(words: dict[bytes, int], seed) -> None:
    shuffled = list(words.items())
    seed.shuffle(shuffled)
    assert (train_merges(words, 20).pairs == train_merges(dict(shuffled), 20).pairs).all()


def test_real_text_equals_brute_force(text: str) -> None:
    counts = count_words([text[:40_000]], "qwen2")
    rows = counts.rows()
    pairs, _ = brute_force(dict(zip(rows.spelled(), rows.counts.tolist(), strict=True)), 100, 2)
    assert [tuple(pair) for pair in train_merges(counts, 100).pairs.tolist()] == pairs


def test_growing_tables_change_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_words([text[:250_000]], "qwen2")
    roomy = train_merges(counts, 10_000, min_frequency=1)
    grown: list[int] = []
    with_room = bpe._with_room
    monkeypatch.setattr(bpe, "FIRST_CAPACITY", 1 << 12)
    monkeypatch.setattr(bpe, "PER_PAIR", 1 << 40)
    monkeypatch.setattr(bpe, "MERGES_PER_CALL", 7)
    monkeypatch.setattr(bpe, "_with_room", lambda state, room: grown.append(room) or with_room(state, room))
    tight = train_merges(counts, 10_000, min_frequency=1)
    assert len(grown) > 1
    assert np.array_equal(tight.pairs, roomy.pairs)
    assert np.array_equal(tight.counts, roomy.counts)


def test_counts_beyond_32_bits() -> None:
    words = {b"ab": 2**40, b"cd": 2**40 + 1, b"ef": 3}
    learnt = train_merges(words, 3)
    assert learnt.pairs.tolist() == [[99, 100], [97, 98], [101, 102]]
    assert learnt.counts.tolist() == [2**40 + 1, 2**40, 3]


def test_nothing_to_merge() -> None:
    assert len(train_merges({}, 10).pairs) == 0
    assert len(train_merges({b"": 5, b"a": 9}, 10).pairs) == 0
    assert len(train_merges({b"ab": 1}, 10, min_frequency=2).pairs) == 0


def test_a_long_run_of_one_byte_halves_at_each_merge() -> None:
    assert train_merges({b"a" * 1024: 1}, 50).pairs.tolist() == [[97, 97]] + [[256 + at] * 2 for at in range(8)]


def test_no_two_merges_make_the_same_bytes(text: str) -> None:
    learnt = train_merges(count_words([text], "gpt2"), 20_000, min_frequency=1)
    Tokenizer(learnt.pairs, "gpt2")  # refuses two tokens of the same bytes


def test_merges_are_those_of_the_tokenizers_library(text: str) -> None:
    """Of pairs that occur equally often both take the smaller ids. The library numbers the bytes in the order of the
    characters that spell them; with bytes renamed to that order, our merges are the library's to the last one."""
    text, merges = text[:400_000] + "naïve 漢字かな 🙂 größer кириллица " * 40, 3000
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS["qwen2"]), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.train_from_iterator(
        [text],
        tokenizers.trainers.BpeTrainer(
            vocab_size=256 + merges, initial_alphabet=CHARACTERS, min_frequency=2, show_progress=False
        ),
    )
    numbered = sorted(range(256), key=CHARACTERS.__getitem__)  # the library's number -> byte
    renamed = bytes(numbered.index(byte) for byte in range(256))
    rows = count_words([text], "qwen2").rows()
    counts = dict(zip((word.translate(renamed) for word in rows.spelled()), rows.counts.tolist(), strict=True))
    spelled = [CHARACTERS[byte] for byte in numbered]
    for left, right in train_merges(counts, merges).pairs.tolist():
        spelled.append(spelled[left] + spelled[right])
    assert {token: at for at, token in enumerate(spelled)} == trained.get_vocab()


def test_weights_are_what_merges_follow() -> None:
    """A rare word counted often beats a frequent pair counted once."""
    assert train_merges({b"xy": 10, b"ababab": 3}, 1).pairs.tolist() == [[120, 121]]
    assert np.array_equal(train_merges({b"xy": 9, b"ababab": 3}, 1).pairs, [[97, 98]])
