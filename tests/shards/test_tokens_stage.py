"""The stage `tokens`: its files hold the documents, its figures count them, and however it is made it is the same."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from groundup.artifacts import Artifact, Manifest, Measured, StageKey, Work
from groundup.corpus import documents as documents_module
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.errors import GroundupError
from groundup.shards import encode
from groundup.shards.configuration import TokensConfig
from groundup.shards.encode import encode_documents
from groundup.shards.stage import stage
from groundup.shards.token_file import TokenShard
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.word_counts import count_words

TEXTS = {"train": ["one tea, two teas", "<|endoftext|> is plain text", "Größe 🙂"], "heldout": ["tea of another kind"]}


def artifact(folder: Path, name: str) -> Artifact:
    return Artifact(folder, Manifest.of_folder(folder, StageKey(name, 1, {}, 0), {}, Measured(0, 0), {}))


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(train_merges(count_words(TEXTS["train"], "qwen2"), 10).pairs)


def rows(texts: dict[str, list[str]]) -> list[Document]:
    return [Document(id=document_id(text), text=text, split=split) for split in texts for text in texts[split]]


def inputs(folder: Path, tokenizer: Tokenizer, documents: Iterable[Document]) -> dict[str, Artifact]:
    for name in ("curate", "tokenizer"):
        (folder / name).mkdir()
    write_documents(folder / "curate" / "documents", documents)
    tokenizer.save(folder / "tokenizer" / "tokenizer.json")
    return {name: artifact(folder / name, name) for name in ("curate", "tokenizer")}


def test_files_and_figures(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "out").mkdir()
    given = inputs(tmp_path, tokenizer, rows(TEXTS))
    figures = stage(TokensConfig(), given, Work(tmp_path / "out", tmp_path / "keep", seed=1))
    for split, texts in TEXTS.items():
        shard = TokenShard.open(tmp_path / "out", split, tokenizer)
        row = [token for text in texts for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
        assert shard.tokens.tolist() == row
        assert [shard.document_id(at) for at in range(shard.documents)] == [document_id(text) for text in texts]
        counts = {
            "documents": len(texts),
            "tokens": len(row),
            "bytes": sum(len(text.encode()) for text in texts),
        }
        assert figures[split] == counts | {"sources": {"": counts}, "languages": {"": counts}}
        assert int(tokenizer.byte_lengths[shard.tokens].sum()) == figures[split]["bytes"]
    assert figures["epoch_tokens"] == figures["train"]["tokens"]
    assert figures["vocabulary"] == tokenizer.vocabulary_size


def several_parts(folder: Path) -> list[Document]:
    """Documents of three sources and two splits, all mixed, in three parts of several row groups each."""
    made = [
        Document(
            id=document_id(f"tea number {n}"),
            text=f"tea number {n}",
            source="cab"[n % 3],
            language="en" if n % 2 else "de",
            split="heldout" if n % 7 == 0 else "train",
        )
        for n in range(90)
    ]
    for part in range(3):
        write_documents(folder, made[part * 30 : part * 30 + 30], part)
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def parts(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> list[Document]:
    monkeypatch.setattr(documents_module, "_ROWS_PER_GROUP", 8)
    tokenizer.save(tmp_path / "tokenizer.json")
    return several_parts(tmp_path / "documents")


def made_by(tmp_path: Path, name: str, workers: int) -> dict[str, bytes]:
    (tmp_path / name).mkdir()
    keep = tmp_path / f"{name}.keep"
    encode_documents(tmp_path / "documents", tmp_path / "tokenizer.json", tmp_path / name, keep, workers)
    return files(tmp_path / name)


def test_sources_are_contiguous_and_documents_in_their_order(
    tmp_path: Path, tokenizer: Tokenizer, parts: list[Document]
) -> None:
    made_by(tmp_path, "out", 1)
    for split in ("train", "heldout"):
        shard = TokenShard.open(tmp_path / "out", split, tokenizer)
        assert [source.name for source in shard.sources] == ["a", "b", "c"]
        for source in shard.sources:
            mine = {one.id: one for one in parts if one.split == split and one.source == source.name}
            assert (source.documents, source.bytes) == (len(mine), sum(one.size for one in mine.values()))
        for at in range(shard.documents):
            one = next(one for one in parts if one.id == shard.document_id(at))
            assert (one.split, one.source) == (split, shard.source_of(at))
            tokens = shard.tokens[shard.starts[at] : shard.starts[at + 1]].tolist()
            assert tokens == [*tokenizer.encode(one.text), tokenizer.end_of_text]


def test_the_number_of_workers_and_a_kill_show_nowhere(
    tmp_path: Path, parts: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = made_by(tmp_path, "alone", 1)
    assert made_by(tmp_path, "three", 3) == alone
    encoded, before = [], encode._encode

    def killed(task: encode.EncodeTask) -> None:
        if len(encoded) == 5:
            raise KeyboardInterrupt
        encoded.append(task)
        before(task)

    monkeypatch.setattr(encode, "_encode", killed)
    with pytest.raises(KeyboardInterrupt):
        made_by(tmp_path, "resumed", 1)
    again: list[encode.EncodeTask] = []
    monkeypatch.setattr(encode, "_encode", lambda task: (again.append(task), before(task))[1])
    (tmp_path / "resumed").rmdir()
    assert made_by(tmp_path, "resumed", 1) == alone
    assert not set(again) & set(encoded)


def test_no_heldout_documents_make_an_empty_split(tmp_path: Path, tokenizer: Tokenizer) -> None:
    given = inputs(tmp_path, tokenizer, rows({"train": ["tea"]}))
    figures = stage(TokensConfig(), given, Work(tmp_path, tmp_path / "keep", seed=1))
    assert figures["heldout"]["tokens"] == 0
    assert len(TokenShard.open(tmp_path, "heldout", tokenizer)) == 0


def test_no_documents(tmp_path: Path, tokenizer: Tokenizer) -> None:
    given = inputs(tmp_path, tokenizer, rows({"heldout": ["tea"]}))
    with pytest.raises(GroundupError, match="no document is left to train on"):
        stage(TokensConfig(), given, Work(tmp_path, tmp_path / "keep", seed=1))
