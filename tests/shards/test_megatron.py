"""Megatron's form: written as its definition reads, read back the same, and damage refused by name."""

import hashlib
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.shards.megatron import export_megatron, import_megatron
from groundup.shards.token_file import TokenShard, TokenWriter

TOKENIZER = tiny.tokenizer()
END = TOKENIZER.end_of_text
documents_ = st.lists(st.binary(max_size=20).map(lambda text: TOKENIZER.encode(text.decode("latin-1"))), max_size=8)


def write(folder: Path, documents: list[list[int]]) -> TokenShard:
    with TokenWriter(folder, "train", TOKENIZER) as writer:
        writer.begin("wiki")
        for ids in documents:
            text = TOKENIZER.decode_bytes(ids)
            writer.append(hashlib.sha256(text).hexdigest()[:32], ids, len(text))
    return TokenShard.open(folder, "train", TOKENIZER)


def by_definition(prefix: Path) -> list[list[list[int]]]:
    """Documents of sequences of ids, read with `struct` as the definition has it."""
    index, content = prefix.with_suffix(".idx").read_bytes(), prefix.with_suffix(".bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, entries = struct.unpack("<QBQQ", index[9:34])
    assert version == 1
    character = {8: "H", 4: "i"}[code]
    lengths = struct.unpack(f"<{sequences}i", index[34 : 34 + 4 * sequences])
    pointers = struct.unpack(f"<{sequences}q", index[34 + 4 * sequences : 34 + 12 * sequences])
    documents = struct.unpack(f"<{entries}q", index[34 + 12 * sequences :])
    read = [
        list(struct.unpack_from(f"<{length}{character}", content, pointer))
        for length, pointer in zip(lengths, pointers, strict=True)
    ]
    return [read[first:last] for first, last in pairwise(documents)]


@settings(max_examples=50)
@given(documents=documents_)
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]) -> None:
    folder = tmp_path_factory.mktemp("shard")
    shard = write(folder, documents)
    export_megatron(shard, folder / "out")
    assert by_definition(folder / "out") == [[[*ids, END]] for ids in documents]
    back = import_megatron(folder / "out.idx", folder / "back", "train", TOKENIZER, "wiki")
    for name in ("train.bin", "train.starts.bin", "train.ids.bin", "train.json"):
        assert (folder / "back" / name).read_bytes() == (folder / name).read_bytes()
    assert back.documents == len(documents)


def test_megatron_core_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    dataset = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    documents = [[1, 2, 3], [], list(range(200))]
    export_megatron(write(tmp_path, documents), tmp_path / "out")
    theirs = dataset.IndexedDataset(str(tmp_path / "out"))
    assert [theirs[at].tolist() for at in range(len(theirs))] == [[*ids, END] for ids in documents]
    assert theirs.document_indices.tolist() == [0, 1, 2, 3]
    for dtype in (np.uint16, np.int32, np.int64):
        builder = dataset.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=dtype)
        import torch

        builder.add_document(torch.tensor([1, 2, 3, 4, 5, END]), [2, 4])  # of two sequences
        builder.add_document(torch.tensor([6, 7]), [2])  # without an end
        builder.finalize(str(tmp_path / "theirs.idx"))
        ours = import_megatron(tmp_path / "theirs", tmp_path / dtype.__name__, "train", TOKENIZER)
        assert ours.tokens.tolist() == [1, 2, 3, 4, 5, END, 6, 7, END]
        assert ours.starts.tolist() == [0, 6, 9]


def index(path: Path, code: int, lengths: list[int], documents: list[int], **changes: object) -> None:
    """Write an index by hand; `changes` overwrite parts of it."""
    width = {8: 2, 4: 4, 5: 8, 7: 4}[code]
    pointers = changes.get("pointers", (np.cumsum([0, *lengths])[:-1] * width).tolist())
    path.write_bytes(
        struct.pack("<9sQBQQ", changes.get("magic", b"MMIDIDX\x00\x00"), 1, code, len(lengths), len(documents))
        + struct.pack(f"<{len(lengths)}i", *lengths)
        + struct.pack(f"<{len(lengths)}q", *pointers)
        + struct.pack(f"<{len(documents)}q", *documents)
    )


@pytest.mark.parametrize(
    ("code", "lengths", "documents", "changes", "name", "says"),
    [
        (7, [4], [0, 1], {}, "idx", "type 7"),
        (8, [4], [0, 1], {"magic": b"MMIDIDX\x00\x01"}, "idx", "no index of Megatron's"),
        (8, [2, 2], [0, 2], {"pointers": [0, 2]}, "idx", "are not contiguous"),
        (8, [5, -1], [0, 2], {}, "idx", "are not contiguous"),
        (8, [2, 2], [0, 1], {}, "idx", "do not cover"),
        (8, [2, 2], [1, 2], {}, "idx", "do not cover"),
        (8, [2, 2], [0, 2, 1, 2], {}, "idx", "do not cover"),
        (8, [2, 2], [], {}, "idx", "do not cover"),
        (8, [3], [0, 1], {}, "bin", "8 bytes long; 3 tokens of 2 bytes"),
        (4, [2], [0, 1], {}, "bin", "holds token 262147"),
    ],
)
def test_damage_is_refused_by_name(
    tmp_path: Path, code: int, lengths: list[int], documents: list[int], changes: dict, name: str, says: str
) -> None:
    np.array([1, 2, 3, 4], dtype="<u2").tofile(tmp_path / "in.bin")
    index(tmp_path / "in.idx", 8, [4], [0, 1])
    assert len(import_megatron(tmp_path / "in", tmp_path / "good", "train", TOKENIZER)) == 5
    index(tmp_path / "in.idx", code, lengths, documents, **changes)
    with pytest.raises(GroundupError) as raised:
        import_megatron(tmp_path / "in", tmp_path / "out", "train", TOKENIZER)
    assert str(raised.value).startswith(f"{tmp_path / 'in'}.{name}: ")
    assert says in str(raised.value)


@pytest.mark.parametrize("size", [0, 20, 34, 53])
def test_an_index_that_is_cut_short(tmp_path: Path, size: int) -> None:
    np.array([1, 2, 3, 4], dtype="<u2").tofile(tmp_path / "in.bin")
    index(tmp_path / "in.idx", 8, [4], [0, 1])
    (tmp_path / "in.idx").write_bytes((tmp_path / "in.idx").read_bytes()[:size])
    with pytest.raises(GroundupError, match=r"in\.idx: is"):
        import_megatron(tmp_path / "in", tmp_path / "out", "train", TOKENIZER)


@pytest.mark.parametrize("name", ["in.bin", "in.idx"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    np.array([1, 2, 3, 4], dtype="<u2").tofile(tmp_path / "in.bin")
    index(tmp_path / "in.idx", 8, [4], [0, 1])
    (tmp_path / name).unlink()
    with pytest.raises(GroundupError, match=rf"{name}: can't be read"):
        import_megatron(tmp_path / "in", tmp_path / "out", "train", TOKENIZER)


def test_large_files_go_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [list(range(at)) for at in range(30)]
    shard = write(tmp_path, documents)
    export_megatron(shard, tmp_path / "whole")
    monkeypatch.setattr("groundup.shards.megatron.AT_ONCE", 20)
    export_megatron(shard, tmp_path / "pieces")
    for ending in ("bin", "idx"):
        assert (tmp_path / f"pieces.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    back = import_megatron(tmp_path / "pieces", tmp_path / "back", "train", TOKENIZER)
    assert back.tokens.tolist() == shard.tokens.tolist()
    assert back.ids.tolist() == shard.ids.tolist()
