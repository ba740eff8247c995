"""Token files: what is written is what is read, every token knows its document, and damage is refused by name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.shards import token_file
from groundup.shards.token_file import TokenShard, TokenWriter

VOCABULARY, END = 300, 299


def write(folder: Path, documents: list[list[int]], vocabulary: int = VOCABULARY) -> None:
    with TokenWriter(folder, "train", vocabulary, END) as writer:
        for at, ids in enumerate(documents):
            writer.append(f"doc{at}", ids)


@given(documents=st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=9))
def test_read_back(tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]) -> None:
    folder = tmp_path_factory.mktemp("shard")
    write(folder, documents)
    shard = TokenShard.open(folder, "train", VOCABULARY)
    row = [(token, at) for at, ids in enumerate(documents) for token in [*ids, END]]
    assert shard.tokens.tolist() == [token for token, _ in row]
    assert len(shard) == len(row)
    assert [shard.document_of(at) for at in range(len(shard))] == [f"doc{at}" for _, at in row]
    assert shard.document_ids == [f"doc{at}" for at in range(len(documents))]
    for outside in (-1, len(shard)):
        with pytest.raises(IndexError):
            shard.document_of(outside)


@pytest.mark.parametrize(("vocabulary", "width"), [(65_536, 2), (65_537, 4)])
def test_the_width_of_the_ids(tmp_path: Path, vocabulary: int, width: int) -> None:
    write(tmp_path, [[vocabulary - 1]], vocabulary)
    assert (tmp_path / "train.bin").read_bytes() == b"".join(
        token.to_bytes(width, "little") for token in (vocabulary - 1, END)
    )
    assert TokenShard.open(tmp_path, "train", vocabulary).tokens[0] == vocabulary - 1


def test_the_writer_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with TokenWriter(tmp_path, "train", VOCABULARY, END) as writer:
        for ids in ([VOCABULARY], [-1]):
            with pytest.raises(ValueError, match="outside the vocabulary"):
                writer.append("a", ids)
        for name in ("", "a\nb", "a\u2028b"):
            with pytest.raises(ValueError, match="not one line"):
                writer.append(name, [1])
    assert (writer.documents, writer.tokens) == (0, 0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _starts(*values: int):
    return lambda path: np.save(path, np.array(values, dtype="<i8"))


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("train.bin", Path.unlink, "can't be read"),
        ("train.starts.npy", Path.unlink, "can't be read"),
        ("train.documents.txt", Path.unlink, "can't be read"),
        ("train.bin", _cut, "is 13 bytes long; 7 tokens of 2 bytes"),
        ("train.starts.npy", _cut, "can't be read"),
        ("train.starts.npy", lambda path: path.write_bytes(b""), "can't be read"),
        ("train.starts.npy", lambda path: path.write_bytes(b"garbage"), "can't be read"),
        ("train.starts.npy", lambda path: np.save(path, np.zeros(3)), "is no list of offsets"),
        ("train.starts.npy", _starts(0, 5, 4), "do not rise"),
        ("train.starts.npy", _starts(1, 4, 7), "do not rise"),
        ("train.documents.txt", lambda path: path.write_text("doc0\n"), "names 1 documents where there are 2"),
        ("train.documents.txt", lambda path: path.write_bytes(b"\xff\n\xff\n"), "can't be read"),
        ("train.bin", lambda path: path.write_bytes(b"\xff" * 14), "holds token 65535, which the vocabulary of 300"),
    ],
)
def test_damage_is_refused_by_name(tmp_path: Path, name: str, damage, says: str) -> None:
    write(tmp_path, [[1, 2], [3, 4, 5]])
    TokenShard.open(tmp_path, "train", VOCABULARY)
    damage(tmp_path / name)
    with pytest.raises(GroundupError) as raised:
        TokenShard.open(tmp_path, "train", VOCABULARY)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    assert says in str(raised.value)


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [[1, 298]])
    with pytest.raises(GroundupError, match="holds token 299"):
        TokenShard.open(tmp_path, "train", 299)


def test_a_large_shard_is_looked_at_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "CHECKED_BLOCKS", 4)
    monkeypatch.setattr(token_file, "CHECKED_TOKENS", 10)
    write(tmp_path, [[1] * 98])
    for position in (0, 35, 98):
        tokens = np.full(99, 1, dtype="<u2")
        tokens[position] = 1000
        tokens.tofile(tmp_path / "train.bin")
        with pytest.raises(GroundupError, match="holds token 1000"):
            TokenShard.open(tmp_path, "train", VOCABULARY)
