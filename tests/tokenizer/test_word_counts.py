"""Word counts: exact to the byte, and the same however the corpus is cut."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.tokenizer.batches import batches, well_formed
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.word_counts import WordCounts, Words, count_words

TEXTS = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=20)
    | st.sampled_from(["the cat", "a" * 15, "a" * 16, "a" * 17, "\0" * 15, "\0" * 16, " " * 40 + "x", "漢" * 30])
)


def as_dict(counts: WordCounts) -> dict[bytes, int]:
    rows = counts.rows()
    return dict(zip(rows.spelled(), rows.counts.tolist(), strict=True))


def equal(one: Words, other: Words) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("text", "offsets", "counts"))


@settings(max_examples=200, deadline=None)
@given(texts=TEXTS)
def test_counts_equal_a_counter(texts: list[str]) -> None:
    counts = count_words(texts, "llama3")
    expected = Counter(word for text in texts for word in regex.findall(PATTERNS["llama3"], text))
    assert as_dict(counts) == {word.encode(): count for word, count in expected.items()}
    assert (len(counts), counts.total) == (len(expected), expected.total())


@settings(max_examples=100, deadline=None)
@given(words=st.dictionaries(st.binary(max_size=20), st.integers(1, 2**40), max_size=30))
def test_rows_are_sorted_by_their_bytes(words: dict[bytes, int]) -> None:
    counts = WordCounts("gpt2")
    counts.add_words(Words.of(words))
    rows = counts.rows()
    assert list(rows.spelled()) == sorted(words)
    assert rows.counts.tolist() == [words[word] for word in sorted(words)]
    assert sorted(counts.rows(min_count=9, in_order=False).spelled()) == sorted(w for w in words if words[w] >= 9)


@settings(max_examples=50, deadline=None)
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 20), max_size=4))
def test_parts_add_up_to_the_whole(texts: list[str], cuts: list[int]) -> None:
    bounds = sorted({0, *(min(cut, len(texts)) for cut in cuts), len(texts)})
    parts = [count_words(texts[start:end], "gpt2") for start, end in pairwise(bounds)]
    together = WordCounts("gpt2")
    for part in reversed(parts):
        together.merge(part)
    assert equal(together.rows(), count_words(texts, "gpt2").rows())


def test_threads_change_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text[at : at + 3000] for at in range(0, len(text), 3000)]
    monkeypatch.setattr("groundup.tokenizer.batches.BATCH_BYTES", 20_000)
    assert equal(count_words(texts, "qwen2", threads=3).rows(), count_words(texts, "qwen2").rows())


def test_arrow_arrays_are_read_in_place(text: str) -> None:
    texts = ["", text[:5000], "ü", text[5000:9000], ""]
    expected = count_words(texts, "qwen2").rows()
    for kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view()):
        array = pa.array(texts, type=kind)
        assert equal(count_words(array, "qwen2").rows(), expected)
        sliced = pa.concat_arrays([pa.array(["zz"], kind), array, pa.array(["zz"], kind)]).slice(1, len(array))
        assert equal(count_words(sliced, "qwen2").rows(), expected)
        chunked = pa.chunked_array([array.slice(0, 2), array.slice(2)])
        assert equal(count_words(chunked, "qwen2").rows(), expected)
    assert not len(count_words(pa.array([], pa.string()), "qwen2"))
    with pytest.raises(ValueError, match="1 texts are null"):
        count_words(pa.array(["a", None]), "qwen2")


@pytest.mark.parametrize("kind", [None, pa.string()])
def test_batches_are_about_as_large_as_asked(kind: pa.DataType | None) -> None:
    texts = ["x" * (at % 7) for at in range(100)]
    cut = list(batches(texts if kind is None else pa.array(texts, kind), size=20))
    assert len(cut) > 10
    assert b"".join(bytes(text[offsets[0] : offsets[-1]]) for text, offsets in cut) == "".join(texts).encode()
    assert all(offsets[-1] - offsets[0] < 20 + 7 for _, offsets in cut)
    assert sum(len(offsets) - 1 for _, offsets in cut) == 100


def test_lone_surrogates_become_replacement_characters() -> None:
    assert well_formed("a\ud83db") == "a\ufffdb".encode()
    assert well_formed("\ud83d\ude42") == "🙂".encode()
    assert well_formed("ü") == "ü".encode()
    assert as_dict(count_words(["a\udc00"], "gpt2")) == {b"a": 1, "\ufffd".encode(): 1}


def test_another_pattern_is_refused() -> None:
    with pytest.raises(GroundupError, match="can't be added"):
        count_words([], "gpt2").merge(count_words([], "qwen2"))
