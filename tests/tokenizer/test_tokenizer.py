"""The tokenizer: round trips, special tokens, and the same ids and texts as the `tokenizers` library."""

import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.tokenizer import tokenizer as tokenizer_module
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.streaming import StreamDecoder
from groundup.tokenizer.tokenizer import SPECIAL_TOKENS, Tokenizer

LANGUAGES = Path(__file__).parents[2].parent / "shared" / "data" / "langid" / "udhr"

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
    texts = [text] + [path.read_text(encoding="utf-8") for path in sorted(LANGUAGES.rglob("*")) if path.is_file()]
    texts = [unicodedata.normalize("NFC", one) for one in texts]
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
    many = tokenizer.encode_many(texts)
    assert [ids.tolist() for ids in many] == [tokenizer.encode(one) for one in texts]
    assert all(ids.dtype == np.int32 for ids in many)


def test_the_cache_is_bounded_and_changes_nothing(tokenizers_of, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Tokenizer(tokenizers_of["llama3"].merges, "llama3")
    monkeypatch.setattr(tokenizer_module, "CACHED_WORDS", 50)
    assert fresh.encode_many([text[:500], text[:20_000], text[:500]])[1].tolist() == tokenizers_of["llama3"].encode(
        text[:20_000]
    )
    for start in range(0, 20_000, 500):
        fresh.encode(text[start : start + 100])
        assert len(fresh._cache) <= 50
    fresh._cache.clear()
    fresh.encode("x" * 5000)
    assert not fresh._cache


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


def test_save_and_load(tokenizers_of, tmp_path: Path) -> None:
    for name, tokenizer in tokenizers_of.items():
        tokenizer.save(tmp_path / "a.json")
        loaded = Tokenizer.load(tmp_path / "a.json")
        assert loaded.pattern == name
        assert np.array_equal(loaded.merges, tokenizer.merges)
        loaded.save(tmp_path / "b.json")
        assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
        tokenizers.Tokenizer.from_file(str(tmp_path / "a.json")).save(str(tmp_path / "theirs.json"))
        assert np.array_equal(Tokenizer.load(tmp_path / "theirs.json").merges, tokenizer.merges)


def _with(change):
    def changed(content: dict) -> str:
        change(content)
        return json.dumps(content)

    return changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: json.dumps(content)[:5000], "can't be read"),
        (lambda content: "[]", "holds no JSON object"),
        (_with(lambda c: c["model"].pop("merges")), "model.merges is missing"),
        (_with(lambda c: c.pop("added_tokens")), "added_tokens is missing"),
        (_with(lambda c: c["added_tokens"].pop()), "the special token <|end|> is missing"),
        (_with(lambda c: c["added_tokens"][0].update(id=3)), "added tokens are not the special tokens"),
        (_with(lambda c: c["model"].update(merges=c["model"]["merges"][1:])), "corrupt"),
        (_with(lambda c: c["model"]["merges"].append(["zzz", "a"])), "its merges do not fit its vocabulary"),
        (_with(lambda c: c["model"]["vocab"].update(a=5)), "corrupt"),
        (_with(lambda c: c["model"]["vocab"].update(a="x")), "corrupt"),
        (_with(lambda c: c["model"].update(type="WordPiece")), "its model is WordPiece"),
        (_with(lambda c: c["model"].update(dropout=0.1)), "sets dropout"),
        (_with(lambda c: c.update(normalizer={"type": "NFC"})), "its normalizer differs"),
        (_with(lambda c: c.update(decoder=None)), "its decoder differs"),
        (_with(lambda c: c.update(pre_tokenizer=None)), "pattern is none of gpt2, llama3, qwen2"),
    ],
)
def test_corrupt_and_foreign_files_are_refused_by_name(tokenizer: Tokenizer, tmp_path: Path, change, says: str) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(GroundupError, match=r"tokenizer\.json: ") as raised:
        Tokenizer.load(path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"nowhere\.json"):
        Tokenizer.load(tmp_path / "nowhere.json")


def test_merges_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="do not exist yet"):
        Tokenizer([(97, 257)])
    with pytest.raises(ValueError, match="same token"):
        Tokenizer([(97, 98), (97, 98)])


def test_torch_is_not_imported() -> None:
    code = "import sys, groundup.tokenizer.stage, groundup.shards.stage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
