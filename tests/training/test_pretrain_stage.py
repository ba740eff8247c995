"""The pretrain stage: the shape asked for, the steps that the tokens make, and the same files again."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import tiny
from groundup.artifacts import Artifact, Work, read_metrics
from groundup.errors import GroundupError
from groundup.model.huggingface import save_huggingface
from groundup.model.weights import load_model
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.pretraining import Pretraining, TokenBatch
from groundup.training.stage import decoder_config, stage

SHAPE = ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=16)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    sizes = {"train": 400, "heldout": 90}
    ids = {split: np.random.default_rng(size).integers(0, 200, size) for split, size in sizes.items()}
    return tiny.token_artifacts(tmp_path_factory.mktemp("run"), ids)


def run(inputs: dict[str, Artifact], root: Path, **changes: Any) -> tuple[Artifact, dict[str, Any]]:
    given = {"model": SHAPE, "tokens": 500, "batch_tokens": 64, "sequence": 16, "learning_rate": 1e-3}
    given |= {"precision": "fp32"} | changes
    (root / "out").mkdir()
    figures = stage(PretrainConfig(**given), inputs, Work(root / "out", root / "keep", seed=2))
    return tiny.artifact(root / "out", "pretrain", json.loads(json.dumps(figures, allow_nan=False))), figures


def test_steps_and_shape(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    made, figures = run(inputs, tmp_path)
    assert figures["steps"] == math.ceil(500 / 64)
    assert figures["tokens"] == figures["steps"] * 64
    assert figures["epochs"] == pytest.approx(figures["tokens"] / 400)
    assert figures["precision"] == "fp32"
    model = load_model(made.path / "model")
    assert model.config.num_parameters == figures["parameters"] == sum(p.numel() for p in model.parameters())
    assert model.config.max_position_embeddings == 16
    rows = read_metrics(made.path / "records" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert rows[-1]["heldout_loss"] == figures["heldout_loss"]


EXPORTED = [one for one in get_args(ModelShape.model_fields["architecture"].annotation) if one != "fast"]


@pytest.mark.parametrize("architecture", EXPORTED)  # transformers has no name for `fast`: tests/export refuses it
def test_every_architecture_trains_and_is_exported(
    inputs: dict[str, Artifact], tmp_path: Path, architecture: str
) -> None:
    """The loss falls on a text that repeats itself, and transformers gives the trained model's logits."""
    from transformers import AutoModelForCausalLM

    kv_heads = 4 if architecture == "gpt2" else 2
    shape = SHAPE.model_copy(update={"architecture": architecture, "kv_heads": kv_heads})
    made, figures = run(inputs, tmp_path, model=shape, tokens=6000, learning_rate=1e-2)
    rows = read_metrics(made.path / "records" / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    model = load_model(made.path / "model").eval()
    assert model.config.num_parameters == figures["parameters"]
    save_huggingface(tmp_path / "exported", model, "float32", end_of_text=0, end=1, pad=2)
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")(tiny.ids(2, 16)).logits
        assert torch.allclose(model(tiny.ids(2, 16))[0], theirs, rtol=0, atol=1e-4)


def test_float16_from_training_to_export(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    """Its metrics hold the loss scale; exported in float16, transformers gives its logits but for rounding."""
    from transformers import AutoModelForCausalLM

    made, figures = run(inputs, tmp_path, precision="fp16", tokens=6000, learning_rate=1e-2)
    assert figures["precision"] == "fp16"
    rows = read_metrics(made.path / "records" / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    skipped = sum(row.get("skipped", 0) for row in rows)
    assert [rows[0]["loss_scale"], rows[-1]["loss_scale"]] == [65536, 65536 / 2**skipped]
    model = load_model(made.path / "model").eval()
    save_huggingface(tmp_path / "exported", model, "float16", end_of_text=0, end=1, pad=2)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "exported", dtype="auto")
    assert theirs.dtype == torch.float16
    with torch.no_grad():
        logits, idx = theirs(tiny.ids(2, 16)).logits, tiny.ids(2, 16)
        assert torch.allclose(model(idx)[0], logits.float(), rtol=0, atol=0.02)


def test_float8_needs_its_gpu(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"pretrain\.fp8: .*(torchao is not installed|this is the device cpu)"):
        run(inputs, tmp_path, precision="bf16", fp8=True)


def test_the_balance_of_experts_is_trained_and_not_validated() -> None:
    model = tiny.model(num_experts=4, router_aux_loss_coef=10.0)
    batch = TokenBatch(tiny.ids(2, 16), tiny.ids(2, 16, seed=1))
    objective = Pretraining.__new__(Pretraining)  # its loss looks at the batch alone
    trained = objective.loss(model, batch)[0]
    with torch.no_grad():
        validated = objective.loss(model, batch)[0]
    assert trained.item() > validated.item() + 10 * 32


def test_the_same_inputs_give_the_same_files(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    digests = []
    for name, changes in (("a", {}), ("b", {"checkpoint_seconds": 0.0, "validate_every": 3}), ("c", {"tokens": 600})):
        (tmp_path / name).mkdir()
        digests.append(run(inputs, tmp_path / name, **changes)[0].manifest.content)
    assert digests[0] == digests[1] != digests[2]  # how often it is saved or looked at is no part of the result


def test_a_shape_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(GroundupError) as error:
        decoder_config(SHAPE.model_copy(update={"heads": 5}), 100)
    assert str(error.value) == (
        "pretrain.model: hidden_size 32 is no multiple of 5 heads; change width, heads or kv_heads"
    )
