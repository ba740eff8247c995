"""The stage `tokenizer`: what it writes, what it says of it, and that it does so again byte for byte."""

import hashlib
import json
from pathlib import Path

import pytest
import tokenizers

from groundup.artifacts import Artifact, Manifest, Measured, StageKey, Work
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.errors import GroundupError
from groundup.tokenizer import batches
from groundup.tokenizer.configuration import BYTES_ONLY, TokenizerConfig
from groundup.tokenizer.figures import cut
from groundup.tokenizer.stage import stage
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import BYTES, SPECIAL_TOKENS


def curated(folder: Path, train: list[str], heldout: list[str]) -> Artifact:
    folder.mkdir()
    splits = [(text, "train") for text in train] + [(text, "heldout") for text in heldout]
    write_documents(
        folder / "documents",
        [
            Document(id=document_id(text), text=text, title=f"{at}", split=split)
            for at, (text, split) in enumerate(splits)
        ],
    )
    return Artifact(folder, Manifest.of_folder(folder, StageKey("curate", 1, {}, 0), {}, Measured(0, 0), {}))


def run(folder: Path, config: TokenizerConfig, curate: Artifact) -> dict:
    out = folder / "out"
    out.mkdir(parents=True)
    return stage(config, {"curate": curate}, Work(out, folder / "keep", seed=1))


def test_figures_are_those_of_the_text(tmp_path: Path, text: str) -> None:
    train, heldout = [text[at : at + 2000] for at in range(0, 200_000, 2000)], [text[200_000:210_000]]
    curate = curated(tmp_path / "curate", train, heldout)
    figures = run(tmp_path / "a", TokenizerConfig(vocabulary=1000), curate)
    tokenizer = Tokenizer.load(tmp_path / "a" / "out" / "tokenizer.json")
    assert figures["vocabulary"] == tokenizer.vocabulary_size == 1000
    assert figures["merges"] == 1000 - 256 - 6
    ids = [token for one in train for token in tokenizer.encode(one)]
    size = sum(len(one.encode()) for one in train)
    assert figures["bytes_per_token"]["train"] == round(size / len(ids), 4)
    assert figures["bytes_per_token"]["heldout"] == round(
        len(heldout[0].encode()) / len(tokenizer.encode(heldout[0])), 4
    )
    assert figures["never_used"] == round(1 - len(set(ids)) / 994, 6)
    assert len(figures["longest_tokens"]) == 20
    assert figures["sample"]["title"] == "100"
    assert heldout[0].startswith("".join(figures["sample"]["tokens"]))
    json.dumps(figures, allow_nan=False)

    run(tmp_path / "b", TokenizerConfig(vocabulary=1000), curate)
    first, second = ((tmp_path / name / "out" / "tokenizer.json").read_bytes() for name in "ab")
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert (tmp_path / "a" / "out" / "records" / "times.json").is_file()


def test_heldout_documents_are_not_trained_on(tmp_path: Path) -> None:
    figures = run(
        tmp_path / "a", TokenizerConfig(), curated(tmp_path / "curate", ["hello hello hello"], ["zzzz zzzz zzzz zzzz"])
    )
    assert not any("z" in token for token in figures["longest_tokens"])


def test_a_small_text_gives_a_smaller_vocabulary(tmp_path: Path) -> None:
    figures = run(tmp_path / "a", TokenizerConfig(), curated(tmp_path / "curate", ["tea tea tea"], []))
    tokenizer = Tokenizer.load(tmp_path / "a" / "out" / "tokenizer.json")
    assert figures["vocabulary"] == tokenizer.vocabulary_size == 256 + 3 + 6
    assert figures["vocabulary_asked"] == 4096
    assert tokenizer.end_of_text == 259
    assert figures["bytes_per_token"]["heldout"] is None


def test_no_documents(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="no document is left to train on"):
        run(tmp_path / "a", TokenizerConfig(), curated(tmp_path / "curate", [], ["x y z"]))


def test_cut_never_splits_a_character(tokenizer: Tokenizer) -> None:
    text = "né 🙂 漢字 plain text 🜚🜛"
    pieces = cut(tokenizer, text)
    assert "".join(pieces) == text
    assert len(pieces) > 5
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("kind", ["character", "byte"])
def test_tokenizers_for_study(tmp_path: Path, kind: str) -> None:
    texts = ["tee käse 漢字 tee käse"] * 3
    figures = run(tmp_path / "a", TokenizerConfig(kind=kind), curated(tmp_path / "curate", texts, []))
    tokenizer = Tokenizer.load(tmp_path / "a" / "out" / "tokenizer.json")
    tokens = [tokenizer.token_bytes(token) for token in tokenizer.encode("käse 漢字 é")]
    if kind == "byte":
        assert figures["vocabulary"] == 256 + 6
        assert tokens == [bytes([byte]) for byte in "käse 漢字 é".encode()]
    else:
        assert b"".join(tokens) == "käse 漢字 é".encode()
        assert tokens == [*(character.encode() for character in "käse 漢字 "), b"\xc3", b"\xa9"]
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "a" / "out" / "tokenizer.json"))
    assert theirs.encode("käse 漢字 é").ids == tokenizer.encode("käse 漢字 é")


def test_rare_words_can_be_skipped(tmp_path: Path) -> None:
    texts = ["x often often often rarest rarest"]
    config = TokenizerConfig(min_frequency=1, min_word_count=3)
    run(tmp_path / "a", config, curated(tmp_path / "curate", texts, []))
    tokenizer = Tokenizer.load(tmp_path / "a" / "out" / "tokenizer.json")
    assert len(tokenizer.encode(" often")) == 1
    assert len(tokenizer.encode(" rarest")) == 7


def test_the_number_of_threads_changes_nothing(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    curate = curated(tmp_path / "curate", [text[at : at + 4000] for at in range(0, 300_000, 4000)], [])
    monkeypatch.setattr(batches, "BATCH_BYTES", 10_000)
    written = []
    for threads in ("1", "3"):
        monkeypatch.setenv("GROUNDUP_THREADS", threads)
        run(tmp_path / threads, TokenizerConfig(vocabulary=600), curate)
        written.append((tmp_path / threads / "out" / "tokenizer.json").read_bytes())
    assert written[0] == written[1]


def test_what_does_not_fit_the_kind_is_refused() -> None:
    assert TokenizerConfig(kind="byte").vocabulary == BYTES_ONLY == BYTES + len(SPECIAL_TOKENS)
    with pytest.raises(ValueError, match="of kind byte has a vocabulary of 262: leave it out"):
        TokenizerConfig(kind="byte", vocabulary=4096)
    with pytest.raises(ValueError, match="of kind character cuts no words: leave the pattern out"):
        TokenizerConfig(kind="character", pattern="gpt2")
