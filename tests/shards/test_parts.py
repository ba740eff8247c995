"""A file in parts is the same array, and a training run reads the same samples out of it."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import tiny
from groundup.errors import GroundupError
from groundup.shards.parts import PART_UNIT, mapped, paths_of
from groundup.shards.token_file import Header, TokenShard, TokenWriter
from groundup.shards.windows import Windows

TOKENIZER = tiny.tokenizer()
DOCUMENTS = 300_000
LENGTHS = np.random.default_rng(3).integers(1, 40, DOCUMENTS)


def write(folder: Path, part_bytes: int) -> TokenShard:
    """6 million tokens (12 MB), with 9.6 MB of ids and 2.4 MB of offsets, in uneven batches."""
    folder.mkdir()
    random = np.random.default_rng(4)
    tokens = random.integers(0, TOKENIZER.vocabulary_size, LENGTHS.sum()).astype("<u2")
    ids = np.array([f"document {number}" for number in range(DOCUMENTS)], dtype="S32")
    ends = np.cumsum(LENGTHS)
    tokens[ends - 1] = TOKENIZER.end_of_text
    with TokenWriter(folder, "train", TOKENIZER, part_bytes) as writer:
        cuts = [0, 1, 77, 250_000, DOCUMENTS]
        for first, last in pairwise(cuts):
            start = ends[first - 1] if first else 0
            writer.append_many(ids[first:last], LENGTHS[first:last], tokens[start : ends[last - 1]])
    return TokenShard.open(folder, "train", TOKENIZER)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenShard, TokenShard]:
    """In one file, and in parts of 4 MiB."""
    folder = tmp_path_factory.mktemp("parts")
    return write(folder / "one", 0), write(folder / "parts", PART_UNIT)


def test_parts_are_one_array(both: tuple[TokenShard, TokenShard]) -> None:
    one, parts = both
    assert parts.files and one.files
    names = sorted(path.name for path in parts.files[0].iterdir())
    assert names == [
        "train.00000.bin", "train.00001.bin", "train.00002.bin", "train.ids.00000.bin", "train.ids.00001.bin",
        "train.ids.00002.bin", "train.json", "train.starts.00000.bin",
    ]  # fmt: skip
    assert max(path.stat().st_size for path in parts.files[0].iterdir()) == PART_UNIT
    assert sorted(path.name for path in one.files[0].iterdir()) == [
        "train.bin", "train.ids.bin", "train.json", "train.starts.bin"
    ]  # fmt: skip
    for name in ("tokens", "starts", "ids"):
        assert (getattr(one, name) == getattr(parts, name)).all()
        assert not getattr(parts, name).flags.writeable
    border = PART_UNIT // 2  # a sample that lies in two files
    index = np.array([0, border // 128, border // 128 - 1, len(one) // 128 - 2])
    assert (Windows(one, 128).rows(index) == Windows(parts, 128).rows(index)).all()
    assert parts.document_id(parts.document_at(border)) == one.document_id(one.document_at(border))
    assert TokenShard.verify(*parts.files).tokens == len(one)
    again = pickle.loads(pickle.dumps(parts))
    assert (again.tokens[border - 9 : border + 9] == one.tokens[border - 9 : border + 9]).all()


def test_what_was_mapped_lives_as_long_as_it_is_used(both: tuple[TokenShard, TokenShard]) -> None:
    folder, split = both[1].files or (Path(), "")
    some = TokenShard.open(folder, split).tokens[PART_UNIT // 2 - 5 : PART_UNIT // 2 + 5]
    assert (some == both[0].tokens[PART_UNIT // 2 - 5 : PART_UNIT // 2 + 5]).all()


@pytest.mark.parametrize("damaged", ["train.00001.bin", "train.ids.00002.bin"])
def test_damage_to_a_part_is_refused_by_name(both: tuple[TokenShard, TokenShard], damaged: str, tmp_path: Path) -> None:
    for path in (both[1].files or (Path(),))[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / damaged).read_bytes())
    content[777] ^= 4
    (tmp_path / damaged).write_bytes(content)
    with pytest.raises(GroundupError, match=f"{damaged}: has changed since it was written"):
        TokenShard.open(tmp_path, "train", TOKENIZER)
    (tmp_path / damaged).unlink()
    with pytest.raises(GroundupError, match=f"{damaged}: can't be read"):
        TokenShard.open(tmp_path, "train", TOKENIZER)


def test_the_header_of_one_file_is_as_it_was(both: tuple[TokenShard, TokenShard]) -> None:
    """No key that earlier versions don't know."""
    assert "part_bytes" not in ((both[0].files or (Path(),))[0] / "train.json").read_text()
    assert Header.read((both[1].files or (Path(),))[0] / "train.json").part_bytes == PART_UNIT


def test_an_empty_file_in_parts(tmp_path: Path) -> None:
    assert paths_of(tmp_path / "a.bin", 0, PART_UNIT) == [(tmp_path / "a.00000.bin", 0)]
    (tmp_path / "a.00000.bin").touch()
    assert len(mapped([tmp_path / "a.00000.bin"], np.dtype("<u2"))) == 0
