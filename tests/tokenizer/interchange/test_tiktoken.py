"""tiktoken's rank format, with tiktoken itself as the oracle."""

from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.tokenizer.interchange import read_tiktoken, write_tiktoken
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import SPECIAL_TOKENS

TOKENS = st.lists(st.text("ab", min_size=2, max_size=5).map(str.encode), unique=True, max_size=12)


def encodings(folder: Path, tokens: list[bytes]) -> tuple[Tokenizer, tiktoken.Encoding]:
    """Ours and theirs, of the same ranks: the bytes in falling order, then `tokens`."""
    ranks = {token: rank for rank, token in enumerate([bytes([255 - at]) for at in range(256)] + tokens)}
    theirs = tiktoken.Encoding("x", pat_str=PATTERNS["llama3"], mergeable_ranks=ranks, special_tokens={"<s>": 900})
    import base64

    path = folder / "x.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(token) + f" {rank}\n".encode() for token, rank in ranks.items()))
    return read_tiktoken(path, "llama3", {"<s>": 900}), theirs


@settings(max_examples=200, deadline=None)
@given(tokens=TOKENS, text=st.text("ab 1", max_size=30))
def test_any_ranks_give_tiktokens_ids(tmp_path_factory: pytest.TempPathFactory, tokens: list[bytes], text: str) -> None:
    """Also where a token can't be reached by merging, or its parts have higher ranks than itself."""
    ours, theirs = encodings(tmp_path_factory.mktemp("ranks"), tokens)
    assert ours.encode(text) == theirs.encode(text)
    for token in tokens:
        assert ours.encode(token) == theirs.encode(token.decode())
    assert ours.encode(text + "<s>", special=True) == theirs.encode(text + "<s>", allowed_special="all")
    assert ours.vocabulary_size == 901
    assert ours.decode(ours.encode(text)) == text


def test_our_own_written_and_read(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_tiktoken(tokenizer, tmp_path / "a.tiktoken")
    special = {text: tokenizer.special_ids[text] for text in SPECIAL_TOKENS}
    again = read_tiktoken(tmp_path / "a.tiktoken", "qwen2", special)
    assert (again.merges == tokenizer.merges).all()
    text = "Größe naïve 漢字 don't 123\n\n  x = y"
    assert again.encode(text) == tokenizer.encode(text)
    theirs = tiktoken.Encoding(
        "ours",
        pat_str=PATTERNS["qwen2"],
        mergeable_ranks={tokenizer.token_bytes(at): at for at in tokenizer.vocabulary.tokens},
        special_tokens=special,
    )
    assert theirs.encode(text) == tokenizer.encode(text)


def test_ids_out_of_the_merges_order_can_not_be_written(tmp_path: Path) -> None:
    from groundup.tokenizer.vocabulary import Vocabulary, trained

    plain = trained([(97, 98), (99, 100)], "gpt2")
    swapped = dict(plain.tokens) | {256: b"cd", 257: b"ab"}
    with pytest.raises(GroundupError, match="not in the order of its merges"):
        write_tiktoken(Tokenizer(Vocabulary(swapped, plain.merges, {}, "gpt2")), tmp_path / "a.tiktoken")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"IQ== 0\nIQ 1\n", r"a\.tiktoken:2: is no token and new rank"),
        (b"IQ== 0\nIg== 0\n", r"a\.tiktoken:2: is no token and new rank"),
        (b"IQ== x\n", r"a\.tiktoken:1: is no token and new rank"),
        (b"IQ== 0\n", r"is corrupt \(there is no token for the byte 0x00\)"),
    ],
)
def test_corrupt_files_are_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.tiktoken").write_bytes(content)
    with pytest.raises(GroundupError, match=says):
        read_tiktoken(tmp_path / "a.tiktoken", "gpt2", {})


def test_special_ids_must_be_free(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_tiktoken(tokenizer, tmp_path / "a.tiktoken")
    with pytest.raises(GroundupError, match="an id is negative or given twice"):
        read_tiktoken(tmp_path / "a.tiktoken", "qwen2", {"<s>": 7})
