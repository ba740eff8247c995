"""Token files: what is written is what is read, every token knows its document, and damage is refused by name."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.shards import sealed
from groundup.shards.token_file import Header, TokenShard, TokenWriter, token_dtype, vocabulary_digest
from groundup.tokenizer.tokenizer import Tokenizer

TOKENIZER = tiny.tokenizer()
VOCABULARY, END = TOKENIZER.vocabulary_size, TOKENIZER.end_of_text
OTHER = Tokenizer([*tiny.MERGES[:-1], (32, 98)])  # one merge is another: as many tokens, not the same ones
Sources = dict[str, list[list[int]]]


def write(folder: Path, sources: Sources) -> None:
    with TokenWriter(folder, "train", TOKENIZER) as writer:
        for name, documents in sources.items():
            writer.begin(name)
            for at, ids in enumerate(documents):
                writer.append(f"{name}{at}", ids, size=len(ids))


documents_ = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=9), max_size=9)


@given(sources=st.dictionaries(st.sampled_from("abc"), documents_))
def test_read_back(tmp_path_factory: pytest.TempPathFactory, sources: Sources) -> None:
    folder = tmp_path_factory.mktemp("shard")
    write(folder, sources)
    shard = TokenShard.open(folder, "train", TOKENIZER)
    row = [
        (token, f"{name}{at}", name)
        for name, documents in sources.items()
        for at, ids in enumerate(documents)
        for token in [*ids, END]
    ]
    assert shard.tokens.tolist() == [token for token, _, _ in row]
    assert len(shard) == len(row)
    owners = [shard.document_at(at) for at in range(len(shard))]
    assert [shard.document_id(owner) for owner in owners] == [name for _, name, _ in row]
    assert [shard.source_of(owner) for owner in owners] == [source for _, _, source in row]
    assert shard.documents == sum(map(len, sources.values()))
    for source in shard.sources:
        first, last = shard.spans[source.name]
        assert [name for _, _, name in row[first:last]] == [source.name] * source.tokens
        assert source.tokens == source.bytes + source.documents
    for outside in (-1, len(shard)):
        with pytest.raises(IndexError):
            shard.document_at(outside)
    assert TokenShard.verify(folder, "train").tokens == len(row)


@pytest.mark.parametrize(("vocabulary", "width"), [(65_536, 2), (65_537, 4)])
def test_the_width_of_the_ids(vocabulary: int, width: int) -> None:
    assert token_dtype(vocabulary).itemsize == width
    assert np.array([vocabulary - 1], token_dtype(vocabulary)).tobytes() == (vocabulary - 1).to_bytes(width, "little")


def test_the_files_are_as_documented(tmp_path: Path) -> None:
    write(tmp_path, {"a": [[1, 2], []], "b": [[VOCABULARY - 1]]})
    assert np.fromfile(tmp_path / "train.bin", "<u2").tolist() == [1, 2, END, END, VOCABULARY - 1, END]
    assert np.fromfile(tmp_path / "train.starts.bin", "<i8").tolist() == [0, 3, 4, 6]
    assert (tmp_path / "train.ids.bin").read_bytes() == b"".join(
        name.ljust(32, b"\0") for name in (b"a0", b"a1", b"b0")
    )
    header = json.loads((tmp_path / "train.json").read_text())
    assert header["tokenizer"] == vocabulary_digest(TOKENIZER)
    assert [(one["name"], one["documents"], one["tokens"]) for one in header["sources"]] == [("a", 2, 4), ("b", 1, 2)]


def test_many_documents_at_once_are_as_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    write(tmp_path / "one", {"a": [[1, 2], [3]]})
    with TokenWriter(tmp_path / "many", "train", TOKENIZER) as writer:
        writer.begin("a")
        ids = np.array(["a0", "a1"], dtype="S32")
        writer.append_many(ids, np.array([3, 2]), np.array([1, 2, END, 3, END], dtype="<u2"), size=3)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_the_writer_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with TokenWriter(tmp_path, "train", TOKENIZER) as writer:
        for ids in ([VOCABULARY], [-1]):
            with pytest.raises(ValueError, match="outside the vocabulary"):
                writer.append("a", ids)
        for name in ("", "a\nb", "ä", "x" * 33):
            with pytest.raises(ValueError, match="not 1 to 32 ASCII characters"):
                writer.append(name, [1])
        writer.begin("a")
        writer.begin("b")
        with pytest.raises(ValueError, match="must be contiguous"):
            writer.begin("a")
    assert (writer.documents, writer.tokens) == (0, 0)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["train.bin", "train.starts.bin", "train.ids.bin", "train.json"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, _flip, lambda path: path.write_bytes(path.read_bytes()[:-3]), lambda p: p.write_bytes(b"")]
)
def test_damage_is_refused_by_name(tmp_path: Path, name: str, damage) -> None:
    """A file that is missing, has a bit flipped, is cut short or is empty."""
    write(tmp_path, {"a": [[1, 2], [3, 4, 5]]})
    TokenShard.open(tmp_path, "train", TOKENIZER)
    damage(tmp_path / name)
    with pytest.raises(GroundupError) as raised:
        TokenShard.open(tmp_path, "train", TOKENIZER)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")


@given(at=st.integers(0, 2**30), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_header_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    """But for bits of white space, whatever is read is what was written."""
    folder = tmp_path_factory.mktemp("shard")
    write(folder, {"a": [[1, 2], [3, 4, 5]]})
    path = folder / "train.json"
    before, content = Header.read(path), bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        assert Header.read(path) == before
    except GroundupError as error:
        assert str(path) in str(error)


def test_offsets_that_do_not_fit_are_refused_though_sealed(tmp_path: Path) -> None:
    """A file that another program wrote, with checksums that are right."""
    write(tmp_path, {"a": [[1, 2], [3, 4, 5]]})
    header = Header.read(tmp_path / "train.json")
    for starts in ([0, 7, 5], [1, 3, 7], [0, 3, 8]):
        with sealed.SealedFile(tmp_path / "train.starts.bin") as file:
            file.write(np.array(starts, "<i8").data)
        checksums = header.checksums | file.checksums
        Header(header.tokenizer, header.vocabulary, END, header.sources, checksums).write(tmp_path / "train.json")
        with pytest.raises(GroundupError, match=r"train\.starts\.bin: has offsets"):
            TokenShard.open(tmp_path, "train")


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a": [[1]]})
    with pytest.raises(GroundupError, match=r"train\.json: holds the ids of another tokenizer"):
        TokenShard.open(tmp_path, "train", OTHER)
    assert len(TokenShard.open(tmp_path, "train")) == 2


def test_another_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a": [[1]]})
    path = tmp_path / "train.json"
    path.write_text(path.read_text().replace("groundup tokens 2", "groundup tokens 9"))
    with pytest.raises(GroundupError, match="is of the format 'groundup tokens 9'"):
        TokenShard.open(tmp_path, "train")


def test_a_large_file_is_looked_at_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At opening evenly spread blocks, the first and the last among them; `verify` looks at all."""
    monkeypatch.setattr(sealed, "BLOCK", 64)
    monkeypatch.setattr(sealed, "CHECKED_BLOCKS", 3)
    write(tmp_path, {"a": [[1] * 479]})  # 480 tokens: 15 blocks
    for block, seen in ((0, True), (7, True), (14, True), (3, False)):
        content = bytearray((tmp_path / "train.bin").read_bytes())
        content[64 * block] ^= 1
        (tmp_path / "train.bin").write_bytes(content)
        if seen:
            with pytest.raises(GroundupError, match=rf"bytes {64 * block} to {64 * block + 64}"):
                TokenShard.open(tmp_path, "train")
        else:
            TokenShard.open(tmp_path, "train")
        with pytest.raises(GroundupError, match="has changed"):
            TokenShard.verify(tmp_path, "train")
        content[64 * block] ^= 1
        (tmp_path / "train.bin").write_bytes(content)


@given(sizes=st.lists(st.integers(0, 200)), block=st.integers(1, 70))
def test_checksums_do_not_depend_on_how_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], block: int
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "file"
    content = np.random.default_rng(len(sizes)).integers(0, 256, sum(sizes)).astype(np.uint8).tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "BLOCK", block)
        with sealed.SealedFile(path) as whole:
            whole.write(content)
        with sealed.SealedFile(path) as file:
            at = 0
            for size in sizes:
                file.write(content[at : at + size])
                at += size
        assert file.checksums == whole.checksums
        sealed.check(path, len(content), file.checksums["file"], everything=True)
    assert path.read_bytes() == content


def test_another_process_maps_the_files_itself(tmp_path: Path) -> None:
    write(tmp_path, {"a": [[1] * 10_000]})
    sent = pickle.dumps(TokenShard.open(tmp_path, "train"))
    assert len(sent) < 1000
    assert pickle.loads(sent).tokens.tolist() == [1] * 10_000 + [END]
