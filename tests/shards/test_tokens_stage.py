"""The stage `tokens`: its files hold the documents, its figures count them, and it does so again byte for byte."""

from pathlib import Path

import pytest

from groundup.artifacts import Artifact, Manifest, Measured, StageKey, Work
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.errors import GroundupError
from groundup.shards.configuration import TokensConfig
from groundup.shards.stage import stage
from groundup.shards.token_file import TokenShard
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.pretokenizer import count_words
from groundup.tokenizer.tokenizer import Tokenizer

TEXTS = {"train": ["one tea, two teas", "<|endoftext|> is plain text", "Größe 🙂"], "heldout": ["held out tea"]}


def artifact(folder: Path, name: str) -> Artifact:
    return Artifact(folder, Manifest.of_folder(folder, StageKey(name, 1, {}, 0), {}, Measured(0, 0), {}))


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(train_merges(count_words(TEXTS["train"], "qwen2"), 10).pairs)


def inputs(folder: Path, tokenizer: Tokenizer, texts: dict[str, list[str]]) -> dict[str, Artifact]:
    for name in ("curate", "tokenizer"):
        (folder / name).mkdir()
    rows = [Document(id=document_id(text), text=text, split=split) for split in texts for text in texts[split]]
    write_documents(folder / "curate" / "documents", rows)
    tokenizer.save(folder / "tokenizer" / "tokenizer.json")
    return {name: artifact(folder / name, name) for name in ("curate", "tokenizer")}


def test_files_and_figures(tmp_path: Path, tokenizer: Tokenizer) -> None:
    given = inputs(tmp_path, tokenizer, TEXTS)
    for name in "ab":
        (tmp_path / name).mkdir()
        figures = stage(TokensConfig(), given, Work(tmp_path / name, tmp_path / "keep", seed=1))
    for split, texts in TEXTS.items():
        shard = TokenShard.open(tmp_path / "a", split, tokenizer.vocabulary_size)
        row = [token for text in texts for token in [*tokenizer.encode(text), tokenizer.end_of_text]]
        assert shard.tokens.tolist() == row
        assert shard.document_ids == [document_id(text) for text in texts]
        assert figures[split] == {
            "documents": len(texts),
            "tokens": len(row),
            "bytes": sum(len(text.encode()) for text in texts),
        }
        assert int(tokenizer.byte_lengths[shard.tokens].sum()) == figures[split]["bytes"]
        for name in (f"{split}.bin", f"{split}.starts.npy", f"{split}.documents.txt"):
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert figures["epoch_tokens"] == figures["train"]["tokens"]
    assert figures["vocabulary"] == tokenizer.vocabulary_size


def test_no_heldout_documents_make_an_empty_split(tmp_path: Path, tokenizer: Tokenizer) -> None:
    figures = stage(
        TokensConfig(), inputs(tmp_path, tokenizer, {"train": ["tea"]}), Work(tmp_path, tmp_path / "keep", seed=1)
    )
    assert figures["heldout"] == {"documents": 0, "tokens": 0, "bytes": 0}
    assert len(TokenShard.open(tmp_path, "heldout", tokenizer.vocabulary_size)) == 0


def test_no_documents(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(GroundupError, match="no document is left to train on"):
        stage(
            TokensConfig(), inputs(tmp_path, tokenizer, {"heldout": ["tea"]}), Work(tmp_path, tmp_path / "keep", seed=1)
        )
