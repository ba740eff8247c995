"""The tokenizer: round trips, special tokens, and the same ids and texts as the `tokenizers` library."""

import random
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.tokenizer import batches
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.streaming import StreamDecoder
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import SPECIAL_TOKENS, trained
from groundup.tokenizer.word_counts import count_words
from made import languages

# Letters younger than the Unicode version of a library are no letters to it, so only assigned characters are drawn.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
TEXTS = st.lists(
    st.text(CHARACTERS, max_size=12)
    | st.text("aA b'sStT1٣²Ⅷ  \t\r\n\u00a0\u3000\u200b\u0085\x1c.,!-_éé\u017fKçß漢🙂", max_size=20)
    | st.sampled_from(["'LL", "'\u017f", "don't", "  \n", "\r\n\r\n", " \n x", "<|end|>", "<|", "12345", "\n\n\n"]),
    max_size=6,
).map("".join)


@pytest.fixture(scope="module")
def pairs(tokenizers_of, tmp_path_factory) -> dict[str, tuple[Tokenizer, tokenizers.Tokenizer]]:
    """Each of our tokenizers, and the library's reading of its file."""
    both = {}
    for name, tokenizer in tokenizers_of.items():
        path = tmp_path_factory.mktemp(name) / "tokenizer.json"
        tokenizer.save(path)
        both[name] = tokenizer, tokenizers.Tokenizer.from_file(str(path))
    return both


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_ids_and_text_equal_the_library(pairs, name: str, text: str) -> None:
    ours, theirs = pairs[name]
    theirs.encode_special_tokens = False
    assert ours.encode(text, special=True) == theirs.encode(text).ids
    theirs.encode_special_tokens = True
    ids = ours.encode(text)
    assert ids == theirs.encode(text).ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("name", PATTERNS)
def test_real_text_in_slices_equals_the_library(pairs, text: str, name: str) -> None:
    ours, theirs = pairs[name]
    theirs.encode_special_tokens = True
    rng = random.Random(0)
    texts = [text, *(unicodedata.normalize("NFC", one) for one in languages.TEXTS.values())]
    for _ in range(500):
        one = rng.choice(texts)
        start = rng.randrange(len(one))
        part = one[start : start + rng.randrange(400)]
        assert ours.encode(part) == theirs.encode(part).ids


@pytest.mark.parametrize("name", PATTERNS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_ids_decode_as_in_the_library(pairs, name: str, data: st.DataObject) -> None:
    ours, theirs = pairs[name]
    size = ours.vocabulary_size
    ids = data.draw(st.lists(st.integers(0, size - 1) | st.integers(128, 255) | st.integers(size - 6, size - 1)))
    for skip in (False, True):
        assert ours.decode(ids, skip_special=skip) == theirs.decode(ids, skip_special_tokens=skip)
        stream = StreamDecoder(ours, skip_special=skip)
        assert "".join(map(stream.feed, ids)) + stream.finish() == ours.decode(ids, skip_special=skip)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_round_trip_of_any_text(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


def test_encode_many_equals_encode(tokenizer: Tokenizer, text: str) -> None:
    texts = ["", text[:1000], "ü" * 500, text[500:2000], "x\ud800"]
    ids, offsets = tokenizer.encode_many(texts)
    assert [ids[start:end].tolist() for start, end in pairwise(offsets)] == [tokenizer.encode(one) for one in texts]
    assert ids.dtype == np.int32


def test_threads_and_batches_change_nothing(tokenizer: Tokenizer, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text[at : at + 700] for at in range(0, 200_000, 700)]
    ids, offsets = tokenizer.encode_many(texts)
    monkeypatch.setattr(batches, "BATCH_BYTES", 9000)
    for threads in (1, 3):
        again, bounds = tokenizer.encode_many(pa.array(texts), threads)
        assert np.array_equal(again, ids)
        assert np.array_equal(bounds, offsets)
    assert len(list(tokenizer.encode_batches(texts, threads=2))) > 20


@settings(max_examples=200, deadline=None)
@given(text=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_round_trip_of_any_bytes(tokenizer: Tokenizer, text: bytes) -> None:
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text
    assert tokenizer.decode_bytes(tokenizer.encode(text, special=True)) == text


def test_special_tokens_are_plain_text_unless_allowed(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocabulary_size
    ids = tokenizer.end_of_text, tokenizer.pad, tokenizer.system, tokenizer.user, tokenizer.assistant, tokenizer.end
    assert ids == tuple(range(size - 6, size))
    assert tokenizer.encode("".join(SPECIAL_TOKENS), special=True) == list(ids)
    assert max(tokenizer.encode("".join(SPECIAL_TOKENS))) < size - 6
    assert tokenizer.decode(ids) == "".join(SPECIAL_TOKENS)
    assert tokenizer.decode(ids, skip_special=True) == ""
    assert tokenizer.byte_lengths[list(ids)].sum() == 0


def test_byte_lengths_sum_to_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    part = text[:3000] + "äöü漢字"
    assert tokenizer.byte_lengths[tokenizer.encode(part)].sum() == len(part.encode())


@pytest.mark.parametrize("token", [-1, 10**6])
def test_ids_out_of_range_are_refused(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(ValueError, match="not in the vocabulary"):
        tokenizer.decode([token])


def test_stream_decoder_holds_back_half_a_character(tokenizer: Tokenizer) -> None:
    stream = StreamDecoder(tokenizer)
    smile = list("🙂".encode())
    assert [stream.feed(byte) for byte in smile] == ["", "", "", "🙂"]
    assert stream.feed([*smile[:2], tokenizer.end]) == ""
    assert stream.finish() == "\ufffd"
    assert stream.feed(tokenizer.encode("on")) == "on"


def test_merges_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="do not exist yet"):
        Tokenizer([(97, 257)])
    with pytest.raises(ValueError, match="same token"):
        Tokenizer([(97, 98), (97, 98)])


def test_torch_is_not_imported() -> None:
    code = "import sys, groundup.tokenizer.stage, groundup.shards.stage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_special_token_is_named() -> None:
    bare = Tokenizer(trained([], "gpt2", special=["<|endoftext|>"]))
    assert bare.end_of_text == 256
    with pytest.raises(GroundupError, match=r"no special token <\|pad\|>"):
        _ = bare.pad


def test_training_from_texts_gives_the_merges_of_their_words(text: str) -> None:
    """`Tokenizer.train` is word counts and merges in one call, whatever the number of threads."""
    merges = train_merges(count_words([text], "llama3"), 300 - 262, 3).pairs
    trained_one = Tokenizer.train([text], 300, "llama3", min_frequency=3, threads=2)
    assert trained_one.merges.tolist() == merges.tolist()
    assert repr(trained_one) == "Tokenizer(vocabulary=300, pattern='llama3')"
    with pytest.raises(GroundupError, match="262 tokens or more"):
        Tokenizer.train([text], 200)


@pytest.mark.parametrize("special", [False, True])
def test_a_batch_is_each_text_encoded(tokenizers_of, special: bool) -> None:
    tokenizer = tokenizers_of["qwen2"]
    texts = ["", "the cat <|end|>", b"\xff<|user|>", "\ud800"]
    assert tokenizer.encode_batch(texts, special) == [tokenizer.encode(one, special) for one in texts]


@pytest.mark.parametrize("call", [Tokenizer.train, tiny.tokenizer().encode_batch, tiny.tokenizer().encode_many])
def test_a_single_text_where_several_are_expected_is_an_error(call: Callable[[str], object]) -> None:
    with pytest.raises(TypeError, match="put it into a list"):
        call("not a list")
