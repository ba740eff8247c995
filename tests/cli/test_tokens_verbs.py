"""`groundup tokens`: a step is traced, shards go to Megatron's form and back, on a run's own artifacts."""

import sys
from pathlib import Path

import pytest

import tiny
from groundup.blueprint.load import load
from groundup.cli.main import main
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.shards.encode import encode_documents

BLUEPRINT = """name: mine
curate: {sources: [{kind: files, path: docs}]}
pretrain: {sequence: 16, batch_tokens: 32, tokens: 320, model: {context: 64}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with documents, tokenizer and shards."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BLUEPRINT)
    Path("docs").mkdir()
    artifacts = Path("runs/mine/artifacts")
    folders = {name: artifacts / f"{name}-000000000000" for name in ("curate", "tokenizer", "tokens")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    texts = [f"Page {n} is about tea." for n in range(40)]
    write_documents(
        folders["curate"] / "documents",
        [
            Document(document_id(text), text, f"Page {at}", "docs", f"{at}.md", licence="MIT", split="train")
            for at, text in enumerate(texts)
        ],
    )
    tokenizer = folders["tokenizer"] / "tokenizer.json"
    tiny.tokenizer().save(tokenizer)
    encode_documents(folders["curate"] / "documents", tokenizer, folders["tokens"], tmp_path / "keep")
    for name, folder in folders.items():
        tiny.artifact(folder, name, {}).manifest.write(folder)
    folder = RunFolder(Path("runs/mine"))
    folder.remember(Remembered("mine.yaml", [], {name: path.name for name, path in folders.items()}))
    (folder.path / "blueprint.source.yaml").write_text(load(Path("mine.yaml")).text)
    return folder.path


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["groundup", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, errors = capsys.readouterr()
    return int(ended.value.code or 0), out + errors


def test_a_step_is_traced(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = said(capsys, monkeypatch, "tokens", "trace", str(run), "3")
    assert status == 0, text
    first, *lines = text.splitlines()
    assert first.startswith("step 3: 2 sequences of 16 tokens, ")
    assert first.endswith("draws 4 to 5")
    assert {line.split()[0] for line in lines} == {"0", "1"}
    for line in lines:
        title = line.split("  ")[-1]
        number = int(title.removeprefix("Page "))
        assert f"  {document_id(f'Page {number} is about tea.')}  docs  {number}.md  MIT  Page {number}" in line
    status, text = said(capsys, monkeypatch, "tokens", "trace", str(run), "11")
    assert (status, text) == (1, "groundup: there is no step 11 of pretraining; give one from 1 to 10\n")


def test_to_megatron_and_back(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = said(capsys, monkeypatch, "tokens", "export", str(run), "out/train")
    assert status == 0, text
    assert text.startswith("40 documents, ")
    (tokenizer,) = run.glob("artifacts/tokenizer-*/tokenizer.json")
    arguments = ("--tokenizer", str(tokenizer), "--source", "docs")
    status, text = said(capsys, monkeypatch, "tokens", "import", "out/train", "back", *arguments)
    assert status == 0, text
    (shards,) = run.glob("artifacts/tokens-*")
    for name in ("train.bin", "train.starts.bin", "train.ids.bin", "train.json"):
        assert Path("back", name).read_bytes() == (shards / name).read_bytes()
