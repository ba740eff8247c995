"""`tokenizer.json`: ours is the library's, other byte-level BPEs' are read exactly, all else is refused by name."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers

from groundup.errors import GroundupError
from groundup.tokenizer.interchange import write_gpt2
from groundup.tokenizer.tokenizer import Tokenizer
from made.languages import TEXTS


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
        (_with(lambda c: c["added_tokens"][0].update(id=3)), "an id is negative or given twice"),
        (_with(lambda c: c["added_tokens"][0].pop("id")), "corrupt"),
        (_with(lambda c: c["added_tokens"][0].update(lstrip=True)), "has the added token '<|endoftext|>' with lstrip"),
        (_with(lambda c: c["model"].update(merges=c["model"]["merges"][1:])), "corrupt"),
        (_with(lambda c: c["model"]["merges"].append(["zzz", "a"])), "its merges do not fit its vocabulary"),
        (_with(lambda c: c["model"]["vocab"].update(a=5)), "corrupt"),
        (_with(lambda c: c["model"]["vocab"].pop("a")), "corrupt: its merges do not fit its vocabulary"),
        (_with(lambda c: c["model"]["vocab"].update({"日": 99_999})), "is not spelled in bytes"),
        (_with(lambda c: c["model"]["vocab"].update({"": 99_999})), "a token has no bytes"),
        (_with(lambda c: c["model"]["vocab"].update({"qqqqq": 99_999})), "no merge makes the token b'qqqqq'"),
        (_with(lambda c: c["model"]["vocab"].update(a="x")), "corrupt"),
        (_with(lambda c: c["model"].update(type="WordPiece")), "of another kind, WordPiece, as BERT's tokenizers are"),
        (_with(lambda c: c["model"].update(byte_fallback=True)), "of another kind, a BPE over characters as Llama 2"),
        (lambda content: json.dumps(content["model"]["vocab"]), "name the folder that also holds merges.txt"),
        (lambda content: '{"tokenizer_class": "X"}', "is a tokenizer_config.json"),
        (lambda content: '{"models": []}', "it has no model"),
        (_with(lambda c: c["added_tokens"][0].update(id=700_000_000)), "the id 700,000,000 is beyond 16,777,215"),
        (_with(lambda c: c.update(truncation={"max_length": 512})), "has truncation, which cuts texts"),
        (_with(lambda c: c.update(padding={"pad_id": 0})), "has padding, which pads texts"),
        (_with(lambda c: c["model"].update(dropout=0.1)), "has a model with dropout"),
        (_with(lambda c: c.update(normalizer={"type": "NFKC"})), "has the normalizer NFKC"),
        (_with(lambda c: c.update(normalizer={"type": "Sequence", "normalizers": [1, 2]})), "the normalizer Sequence"),
        (_with(lambda c: c.update(decoder=None)), "has a decoder that is not the byte level's"),
        (_with(lambda c: c.update(pre_tokenizer=None)), "has a pre-tokenizer that is not a pattern and the byte level"),
        (
            _with(lambda c: c["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": r"\w+"})),
            "pattern that is none of gpt2, llama3, qwen2",
        ),
        (_with(lambda c: c["pre_tokenizer"]["pretokenizers"][0].update(behavior="Removed")), "has a pre-tokenizer"),
        (_with(lambda c: c["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True)), "has a pre-tokenizer"),
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


def test_special_tokens_anywhere(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Another project puts them first, leaves ids unused, or gives its tokens another order than its merges."""
    tokenizer.save(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    size = len(content["model"]["vocab"])
    moved = {token: 2 + (at * 7 + 3) % size for token, at in content["model"]["vocab"].items()} if size % 7 else {}
    assert len(set(moved.values())) == size
    content["model"]["vocab"] = moved | {"<s>": 0, "<|pad|>": size + 50}
    content["added_tokens"] = [
        content["added_tokens"][0] | {"content": text, "id": at} for text, at in (("<s>", 0), ("<|pad|>", size + 50))
    ]
    (tmp_path / "b.json").write_text(json.dumps(content))
    ours, theirs = Tokenizer.load(tmp_path / "b.json"), tokenizers.Tokenizer.from_file(str(tmp_path / "b.json"))
    assert (ours.vocabulary_size, ours.pad, ours.token_bytes(1), ours.special_ids["<s>"]) == (
        size + 51,
        size + 50,
        b"",
        0,
    )
    text = "<s>Größer, said <|pad|> the 12 façades.\n\n  x = y"
    assert ours.encode(text, special=True) == theirs.encode(text).ids
    assert ours.decode(ours.encode(text)) == text
    ours.save(tmp_path / "c.json")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "c.json"))
    assert again.encode(text).ids == theirs.encode(text).ids
    assert np.array_equal(Tokenizer.load(tmp_path / "c.json").merges, ours.merges)


def test_a_file_with_nfc_gives_the_librarys_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Qwen's files have it: texts are composed before they are cut, special tokens are found before that."""
    tokenizer.save(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text()) | {"normalizer": {"type": "NFC"}}
    (tmp_path / "b.json").write_text(json.dumps(content))
    ours, theirs = Tokenizer.load(tmp_path / "b.json"), tokenizers.Tokenizer.from_file(str(tmp_path / "b.json"))
    texts = [
        *(unicodedata.normalize("NFD", text) for text in TEXTS.values()),
        "e\u0301<|end|>\u0338 \u1100\u1161 plain",
    ]
    assert any(tokenizer.encode(text) != ours.encode(text) for text in texts)
    for text in texts:
        assert ours.encode(text, special=True) == theirs.encode(text).ids
        assert ours.decode(ours.encode(text)) == unicodedata.normalize("NFC", text)
    theirs.encode_special_tokens = True
    expected = [theirs.encode(text).ids for text in texts]
    assert ours.encode_batch(texts) == ours.encode_batch(pa.array(texts)) == expected
    assert ours.encode_batch([text.encode() for text in texts], threads=2) == expected
    ours.save(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["normalizer"] == {"type": "NFC"}
    with pytest.raises(GroundupError, match="normal form C"):
        write_gpt2(ours, tmp_path)
    content["added_tokens"][0]["normalized"] = True
    (tmp_path / "b.json").write_text(json.dumps(content))
    with pytest.raises(GroundupError, match="with normalized"):
        Tokenizer.load(tmp_path / "b.json")


@pytest.mark.parametrize("ignore", [False, True])
def test_words_that_are_tokens_whatever_the_merges_say(tmp_path: Path, ignore: bool) -> None:
    """`ignore_merges`, as in Llama 3's file, also with merges that make one token in two ways."""
    tokenizer = Tokenizer([(97, 98), (99, 100), (256, 99), (258, 100)], "gpt2")  # ab cd abc abcd
    tokenizer.save(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    content["model"]["ignore_merges"] = ignore
    content["model"]["merges"].append(["ab", "cd"])
    if ignore:
        content["model"]["vocab"] |= {"xyzzy": 1000, "x" * 20: 1001}
    (tmp_path / "a.json").write_text(json.dumps(content))
    ours, theirs = Tokenizer.load(tmp_path / "a.json"), tokenizers.Tokenizer.from_file(str(tmp_path / "a.json"))
    for text in ("abcd", "abcdabcd", "xabc", "xyzzy", " xyzzy", "xyzzy xyzzyx", "x" * 20, "x" * 21, "abcd" + "x" * 20):
        assert ours.encode(text) == theirs.encode(text).ids
        assert ours.encode(text) == theirs.encode(text).ids
