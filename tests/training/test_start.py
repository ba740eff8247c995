"""A run that begins with a model from outside: the first loss is transformers', the tokenizer's ids stay, transformers
loads what it becomes; and what can't be begun with is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import tiny
from groundup.artifacts import Artifact, Work, read_metrics
from groundup.blueprint.load import load
from groundup.blueprint.problems import BlueprintError
from groundup.errors import GroundupError
from groundup.model.huggingface import save_huggingface
from groundup.model.lora_config import LoraConfig
from groundup.model.weights import load_model
from groundup.pipeline.graph import stages
from groundup.shards.token_file import TokenWriter
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import SPECIAL_TOKENS, trained
from groundup.training import start
from groundup.training.configuration import PretrainConfig
from groundup.training.data import objective_of
from groundup.training.stage import stage as pretrain
from groundup.training.start_config import StartConfig, locate

TEXT = "The river carries the stone near the garden, and the captain remembers the winter market well. " * 40
FOREIGN = Tokenizer(trained(tiny.MERGES, "gpt2", ("<|endoftext|>",)))  # one special token, as GPT-2's
SIZES: dict[str, Any] = {"vocab_size": FOREIGN.vocabulary_size, "attn_implementation": "eager"}
ROPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
FAMILIES = {
    "gpt2": transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **SIZES),
    "llama": transformers.LlamaConfig(**ROPE, **SIZES, tie_word_embeddings=False),
    "qwen3": transformers.Qwen3Config(**ROPE, **SIZES, head_dim=8, tie_word_embeddings=True),
}


def folder_of(family: str, path: Path) -> Any:
    """A model of transformers with a tokenizer, in several files of weights."""
    torch.manual_seed(4)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path, max_shard_size="10KB")
    assert len(list(path.glob("*.safetensors"))) > 2
    FOREIGN.save(path / "tokenizer.json")
    return model.eval()


def begin(config: StartConfig, root: Path) -> Artifact:
    out = root / "start"
    out.mkdir()
    figures = start.stage(config, {}, Work(out, root / "keep", seed=1, base=root))
    return tiny.artifact(out, "start", json.loads(json.dumps(figures)))


def tokens_of(begun: Artifact, root: Path) -> dict[str, Artifact]:
    """The inputs of continued pretraining."""
    tokenizer = Tokenizer.load(begun.file("tokenizer.json"))
    ids = tokenizer.encode(TEXT)
    for name in ("tokens", "tokenizer"):
        (root / name).mkdir()
    tokenizer.save(root / "tokenizer" / "tokenizer.json")
    for split, part in (("train", ids[:-200]), ("heldout", ids[-200:])):
        with TokenWriter(root / "tokens", split, tokenizer) as writer:
            writer.append(split, torch.tensor([*part, tokenizer.end_of_text]).numpy())
    return {name: tiny.artifact(root / name, name, {}) for name in ("tokens", "tokenizer")} | {"start": begun}


def continued(inputs: dict[str, Artifact], root: Path, **changes: Any) -> tuple[Artifact, dict[str, Any], Any]:
    given = {"tokens": 800, "batch_tokens": 64, "sequence": 16, "learning_rate": 3e-3, "precision": "fp32"} | changes
    config = PretrainConfig.model_validate(given)
    (root / "out").mkdir()
    figures = pretrain(config, inputs, Work(root / "out", root / "keep2", seed=2))
    return tiny.artifact(root / "out", "pretrain", json.loads(json.dumps(figures))), figures, config


def logits(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        out = model(ids)
    found: Tensor = out[0] if isinstance(out, tuple) else out.logits
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_with_transformers_loss_and_ends_as_a_model_of_transformers(family: str, tmp_path: Path) -> None:
    theirs = folder_of(family, tmp_path / "folder")
    (tmp_path / "general.txt").write_text(TEXT[::-1])
    config = StartConfig(model=Path("folder"), general=Path("general.txt"))
    inputs = tokens_of(begin(config, tmp_path), tmp_path)
    made, figures, trained_with = continued(inputs, tmp_path)
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    objective = objective_of(trained_with, inputs["tokens"].path, tokenizer, 2)
    (batch,) = objective.batches(0)
    labels = torch.cat((batch.inputs_BT[:, :1], batch.targets_BT), 1)
    with torch.no_grad():
        expected = float(theirs(labels, labels=labels).loss)
    rows = read_metrics(made.path / "records" / "metrics.jsonl")
    assert rows[0]["loss"] == pytest.approx(expected, abs=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    forgetting = figures["general_bits_per_byte"]
    ids = torch.tensor([[tokenizer.end_of_text, *tokenizer.encode(TEXT[::-1])]])
    windows = [ids[:, at : at + 17] for at in range(0, ids.shape[1] - 1, 16)]
    with torch.no_grad():
        nats = sum(float(theirs(w, labels=w).loss) * (w.shape[1] - 1) for w in windows)
    assert forgetting["before"] == pytest.approx(nats / 0.6931472 / len(TEXT), rel=1e-4)
    assert forgetting["after"] != forgetting["before"]
    model = load_model(made.path / "model")
    assert model.config.vocab_size == tokenizer.vocabulary_size == FOREIGN.vocabulary_size + 5
    save_huggingface(tmp_path / "export", model, "float32", end_of_text=0, end=1, pad=2)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "export").eval()
    assert (logits(back, labels) - logits(model, labels)).abs().max() < 1e-4


def test_adapters_and_dropout_and_a_run_s_stage(tmp_path: Path) -> None:
    """Continued by adapters alone, with dropout; then begun again from that stage of a run, straight to SFT."""
    folder_of("llama", tmp_path / "folder")
    begun = begin(StartConfig(model=Path("folder")), tmp_path)
    inputs = tokens_of(begun, tmp_path)
    before = load_model(begun.path / "model").state_dict()
    made, _, _ = continued(inputs, tmp_path, model={"dropout": 0.1}, lora=LoraConfig(rank=2))
    after = load_model(made.path / "model")
    assert (made.path / "adapter" / "adapter_config.json").is_file()
    for name, weight in after.state_dict().items():
        same = torch.equal(weight[: len(before[name])], before[name])
        assert same != name.endswith("_proj.weight"), name
    run = tmp_path / "runs" / "a"
    for name, artifact in (("pretrain", made), ("tokenizer", inputs["tokenizer"])):
        (run / "artifacts").mkdir(parents=True, exist_ok=True)
        (run / "artifacts" / f"{name}-1").symlink_to(artifact.path)
    (run / "run.json").write_text(json.dumps({"stages": {"pretrain": "pretrain-1", "tokenizer": "tokenizer-1"}}))
    (tmp_path / "second").mkdir()
    given = StartConfig.model_validate({"model": f"{run}:pretrain", "first": "sft"})
    again = begin(given, tmp_path / "second")
    assert again.figures["added_tokens"] == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(load_model(again.path / "model").parameters(), after.parameters(), strict=True)
    )
    with pytest.raises(GroundupError, match="no model of a stage sft; name one of them: a:pretrain"):
        locate(StartConfig.model_validate({"model": f"{run}:sft"}), tmp_path)


def test_ids_of_texts_stay_and_added_rows_are_the_mean() -> None:
    tokenizer, added = start.with_chat_tokens(FOREIGN)
    assert added == 5 and set(SPECIAL_TOKENS) <= tokenizer.special_ids.keys()
    assert tokenizer.encode(TEXT) == FOREIGN.encode(TEXT) and tokenizer.end_of_text == FOREIGN.end_of_text
    assert start.with_chat_tokens(tokenizer) == (tokenizer, 0)
    model = tiny.model()
    larger = start.grown(model, 70)
    rows = larger.model.embed_tokens.weight
    assert torch.equal(rows[:61], model.model.embed_tokens.weight) and larger.config.vocab_size == 70
    assert torch.allclose(rows[61:], rows[:61].mean(0).expand(9, -1))
    assert start.grown(larger, 70) is larger


def test_what_cannot_be_begun_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="there is no such folder"):
        locate(StartConfig(model=Path("nowhere")), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundupError, match=r"holds no config\.json"):
        locate(StartConfig(model=Path("empty")), tmp_path)
    folder_of("llama", tmp_path / "folder")
    tiny.tokenizer().save(tmp_path / "folder" / "tokenizer.json")
    with pytest.raises(GroundupError, match=r"the tokenizer has 270 tokens, the model 265"):
        begin(StartConfig(model=Path("folder")), tmp_path)
    content = json.loads((tmp_path / "folder" / "tokenizer.json").read_text())
    content["model"]["type"] = "Unigram"
    (tmp_path / "folder" / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "start").rmdir()
    with pytest.raises(GroundupError, match="of another kind, Unigram"):
        begin(StartConfig(model=Path("folder")), tmp_path)


BLUEPRINT = """curate:
  sources: [{kind: files, path: pages}]
start: {model: folder}
pretrain: {sequence: 32, batch_tokens: 128}
"""


def test_a_blueprint_takes_shape_and_rates_from_the_model(tmp_path: Path) -> None:
    folder_of("qwen3", tmp_path / "folder")
    (tmp_path / "b.yaml").write_text(BLUEPRINT)
    loaded = load(tmp_path / "b.yaml")
    model = loaded.blueprint.pretrain.model
    assert (model.architecture, model.layers, model.width, model.kv_heads, model.context) == ("qwen3", 2, 32, 2, 64)
    assert loaded.origin("pretrain.model.width") == "as the model has it (start.model)"
    assert loaded.blueprint.pretrain.epochs == 1.0
    rates = [load(tmp_path / "b.yaml", [f"start={value}"]).blueprint for value in ("{model: folder}", "null")]
    assert rates[0].pretrain.learning_rate and rates[1].pretrain.learning_rate
    assert [stage.name for stage in stages(loaded.blueprint)] == (
        "curate start tokenizer tokens pretrain sft reward ppo evaluate export report".split()
    )
    short = load(tmp_path / "b.yaml", ["start.first=sft", "align=none"]).blueprint
    assert [stage.name for stage in stages(short)] == (
        "curate start tokenizer tokens sft evaluate export report".split()
    )
    (tmp_path / "folder" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BlueprintError, match=r"3:16: start\.model: model_type is 'bert', not one of llama"):
        load(tmp_path / "b.yaml")
