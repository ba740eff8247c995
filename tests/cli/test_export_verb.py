"""`groundup export --format megatron`: a run's model and its token shards in one folder for Megatron-LM."""

import sys
from pathlib import Path

import pytest
import torch

import tiny
from groundup.blueprint.load import load
from groundup.cli.main import main
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.export.megatron_lm import import_megatron_lm
from groundup.model.adapter_files import save_adapter
from groundup.model.huggingface import save_huggingface
from groundup.model.lora import add_adapters
from groundup.model.lora_config import LoraConfig
from groundup.model.weights import load_model, save_model
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.shards.encode import encode_documents
from groundup.shards.megatron import import_megatron
from groundup.shards.token_file import TokenShard

BLUEPRINT = "name: mine\ncurate: {sources: [{kind: files, path: docs}]}\n"
TOKENIZER = tiny.tokenizer()
ENDS = {"end_of_text": TOKENIZER.end_of_text, "end": TOKENIZER.end, "pad": TOKENIZER.pad}


def test_model_and_data_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(BLUEPRINT)
    Path("docs").mkdir()
    folders = {name: Path(f"runs/mine/artifacts/{name}-000000000000") for name in ("tokens", "export")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    texts = [f"Page {n} is about tea." for n in range(20)]
    splits = ["heldout" if n % 5 == 0 else "train" for n in range(20)]
    documents = [
        Document(document_id(text), text, "", "docs", f"{at}.md", licence="MIT", split=split)
        for at, (text, split) in enumerate(zip(texts, splits, strict=True))
    ]
    write_documents(tmp_path / "documents", documents)
    TOKENIZER.save(tmp_path / "tokenizer.json")
    encode_documents(tmp_path / "documents", tmp_path / "tokenizer.json", folders["tokens"], tmp_path / "keep")
    made = tiny.model(vocab_size=TOKENIZER.vocabulary_size)
    save_huggingface(folders["export"], made, "float32", **ENDS)
    for name, folder in folders.items():
        tiny.artifact(folder, name, {}).manifest.write(folder)
    run = RunFolder(Path("runs/mine"))
    run.remember(Remembered("mine.yaml", [], {name: path.name for name, path in folders.items()}))
    (run.path / "blueprint.source.yaml").write_text(load(Path("mine.yaml")).text)

    monkeypatch.setattr(sys, "argv", ["groundup", "export", str(run.path), "--format", "megatron", "--to", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, errors = capsys.readouterr()
    assert not ended.value.code, errors
    assert out.startswith("out: continue training with Megatron-LM by out/launch.sh")
    back = import_megatron_lm(Path("out"))
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), back.parameters(), strict=True))
    for split in ("train", "heldout"):
        shard = import_megatron(Path("out/data", split), tmp_path / "back", split, TOKENIZER)
        assert (shard.tokens == TokenShard.open(folders["tokens"], split).tokens).all()


def test_adapters_go_with_the_model_that_they_belong_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What PEFT makes of both computes what the stage's merged model computes."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folders = {name: tmp_path / f"mine/artifacts/{name}-000000000000" for name in ("tokenizer", "pretrain", "sft")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    TOKENIZER.save(folders["tokenizer"] / "tokenizer.json")
    made = tiny.model(vocab_size=TOKENIZER.vocabulary_size)
    save_model(folders["pretrain"] / "model", made)
    add_adapters(made, LoraConfig(rank=2))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    save_model(folders["sft"] / "model", made)
    save_adapter(folders["sft"] / "adapter", made)
    for name, folder in folders.items():
        tiny.artifact(folder, name, {}).manifest.write(folder)
    RunFolder(tmp_path / "mine").remember(Remembered("x", [], {name: path.name for name, path in folders.items()}))

    def export(stage: str, to: Path) -> tuple[int | str | None, str]:
        arguments = ["groundup", "export", f"{tmp_path / 'mine'}{stage}", "--format", "peft", "--to", str(to)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    to = tmp_path / "out"
    assert not export(":sft", to)[0]
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(to / "base"), to / "adapter").eval()
    ids = tiny.ids(2, 20, vocabulary=TOKENIZER.vocabulary_size)
    with torch.no_grad():
        expected = load_model(folders["sft"] / "model").eval()(ids)[0]
        assert torch.allclose(theirs(ids).logits, expected, atol=1e-4)
        plain = load_model(folders["pretrain"] / "model").eval()(ids)[0]
    assert not torch.allclose(plain, expected, atol=1e-2)
    assert "trained no adapters" in export(":pretrain", tmp_path / "other")[1]
    assert "belong to one stage" in export("", tmp_path / "other")[1]
