"""GPT-2's own vocabulary and others in its form: the ids are those of `tokenizers` and of tiktoken, in any format."""

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import tokenizers

from groundup.errors import GroundupError
from groundup.tokenizer.interchange import read_gpt2, read_tiktoken, write_gpt2, write_tiktoken
from groundup.tokenizer.interchange.spelling import CHARACTERS, spell, unspell
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import trained
from made.languages import TEXTS
from made.prose import documents
from made.real import DATA, articles, declarations

GPT2 = DATA / "tokenizer" / "gpt2"
# As openai_public.py of tiktoken has it; its own pattern and ours find the same words.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


@pytest.fixture(scope="module", params=["own", *(["published"] if GPT2.is_dir() else [])])
def folder(
    request: pytest.FixtureRequest, tokenizers_of: dict[str, Tokenizer], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with `vocab.json` and `merges.txt`: a vocabulary in GPT-2's form, and the published one if at hand."""
    folder = tmp_path_factory.mktemp("gpt2")
    if request.param == "published":
        (folder / "vocab.json").write_bytes((GPT2 / "encoder.json").read_bytes())
        (folder / "merges.txt").write_bytes((GPT2 / "vocab.bpe").read_bytes())
    else:
        write_gpt2(Tokenizer(trained(tokenizers_of["gpt2"].merges, "gpt2", ["<|endoftext|>"])), folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(folder: Path) -> Tokenizer:
    return read_gpt2(folder)


@pytest.fixture(scope="module")
def openai(folder: Path, gpt2: Tokenizer) -> tiktoken.Encoding:
    ids = json.loads((folder / "vocab.json").read_text())
    special = {"<|endoftext|>": ids.pop("<|endoftext|>")}
    ranks = {unspell(token): at for token, at in ids.items()}
    return tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def fuzzed(count: int) -> list[str]:
    """Slices of texts in many languages, spliced with what pre-tokenizers stumble over."""
    rng = random.Random(0)
    texts = [*TEXTS.values(), *declarations().values(), *documents(20), *articles("wiki_00")]
    odd = [
        "'s",
        "'LL",
        "  ",
        "\t",
        "\n",
        "\r\n",
        " \n ",
        "\u00a0",
        "\u3000",
        "12345",
        "٣",
        "Ⅷ",
        "e\u0301",
        "🙂",
        "\x00",
    ]
    odd += [
        "don't",
        "--",
        "a" * 200,
        " " * 70,
        "==" * 60,
        "é" * 99,
        "<|endoftext|>",
        "\u017f",
        "\u200d",
        "한국어",
        "\U0001d7d8",
        "_x_",
    ]
    found = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 5)):
            text = rng.choice(texts)
            start = rng.randrange(len(text))
            parts += [text[start : start + rng.randrange(30)], rng.choice(odd)]
        found.append("".join(parts))
    return found


def test_10_000_fuzzed_strings(folder: Path, gpt2: Tokenizer, openai: tiktoken.Encoding) -> None:
    library = tokenizers.Tokenizer(
        tokenizers.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    )
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = fuzzed(10_000)
    ids, offsets = gpt2.encode_many(texts)
    ours = [ids[start:end].tolist() for start, end in pairwise(offsets)]
    assert ours == openai.encode_ordinary_batch(texts, num_threads=1)
    assert ours == [one.ids for one in library.encode_batch_fast(texts)]
    assert [gpt2.decode(one) for one in ours] == texts


def test_special_tokens_only_where_allowed(gpt2: Tokenizer, openai: tiktoken.Encoding) -> None:
    text = "one<|endoftext|>two <|endoftext|>"
    assert gpt2.encode(text) == openai.encode(text, disallowed_special=())
    assert gpt2.encode(text, special=True) == openai.encode(text, allowed_special="all")
    assert gpt2.end_of_text == gpt2.vocabulary_size - 1


@pytest.mark.skipif(not GPT2.is_dir(), reason="needs a published data set (../shared/data)")
def test_bytes_have_the_published_numbers() -> None:
    gpt2 = read_gpt2(GPT2)
    assert gpt2.vocabulary_size == 50257
    assert gpt2.encode("!") == [0]
    assert gpt2.encode(" ") == [220]
    assert gpt2.encode(b"\xff\x00") != [255, 0]
    assert gpt2.decode_bytes(gpt2.encode(b"\xff\x00\xfe")) == b"\xff\x00\xfe"


def test_every_format_gives_the_same_tokenizer_again(folder: Path, gpt2: Tokenizer, tmp_path: Path) -> None:
    gpt2.save(tmp_path / "tokenizer.json")
    write_gpt2(gpt2, tmp_path)
    write_tiktoken(gpt2, tmp_path / "gpt2.tiktoken")
    texts = fuzzed(300)
    for other in (
        Tokenizer.load(tmp_path / "tokenizer.json"),
        read_gpt2(tmp_path),
        read_tiktoken(tmp_path / "gpt2.tiktoken", "gpt2", gpt2.special_ids),
    ):
        assert other.vocabulary.tokens == gpt2.vocabulary.tokens
        assert np.array_equal(other.merges, gpt2.merges)
        assert other.special_ids == gpt2.special_ids
        assert np.array_equal(other.encode_many(texts)[0], gpt2.encode_many(texts)[0])
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.encode_special_tokens = True
    assert [one.ids for one in theirs.encode_batch_fast(texts)] == [gpt2.encode(text) for text in texts]
    assert json.loads((tmp_path / "vocab.json").read_text()) == json.loads((folder / "vocab.json").read_text())
    assert (tmp_path / "merges.txt").read_text().split("\n")[1:] == (folder / "merges.txt").read_text().split("\n")[1:]


def test_spelling_is_the_librarys() -> None:
    assert sorted(CHARACTERS) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert spell(b" the\n") == "ĠtheĊ"
    assert unspell(spell(bytes(range(256)))) == bytes(range(256))


@pytest.fixture
def written(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    write_gpt2(tokenizer, tmp_path)
    return tmp_path


def test_our_own_in_two_files(tokenizer: Tokenizer, written: Path) -> None:
    again = read_gpt2(written, "qwen2")
    assert again.special_ids == tokenizer.special_ids
    assert again.encode("naïve 漢字 x == 12\n\n") == tokenizer.encode("naïve 漢字 x == 12\n\n")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("vocab.json", lambda text: text[:100], "can't be read"),
        ("vocab.json", lambda text: "[1]", r"vocab\.json: holds no tokens and their ids"),
        ("vocab.json", lambda text: text.replace('"a": 97', '"a": 98'), "its two files do not fit together"),
        ("merges.txt", lambda text: text + "q z x\n", r"merges\.txt:\d+: is no merge of two tokens of vocab\.json"),
        ("merges.txt", lambda text: text + "zzzz a\n", r"merges\.txt:\d+: is no merge of two tokens of vocab\.json"),
    ],
)
def test_corrupt_files_are_refused_by_name(written: Path, name: str, change, says: str) -> None:
    (written / name).write_text(change((written / name).read_text()))
    with pytest.raises(GroundupError, match=says) as raised:
        read_gpt2(written)
    assert "\n" not in str(raised.value)


def test_a_folder_without_them(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"holds neither encoder\.json and vocab\.bpe nor"):
        read_gpt2(tmp_path)
