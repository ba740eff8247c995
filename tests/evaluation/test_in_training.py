"""Tasks asked while a model trains: their scores are those of the trained model, and training doesn't notice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from groundup.artifacts import Artifact, Work, read_metrics
from groundup.blueprint.load import load
from groundup.errors import GroundupError
from groundup.evaluation.in_training import pretrain
from groundup.evaluation.tasks.run import run_task
from groundup.evaluation.tasks.task import read_task
from groundup.inference.loading import load_stage
from groundup.pipeline.graph import stages
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.stage import stage

SHAPE = ModelShape(layers=1, width=32, heads=4, kv_heads=2, feed_forward=48, context=64)
ROWS = [
    {"q": "the", "good": "ing", "bad": "zzz"},
    {"q": "a", "good": "t", "bad": "%%"},
    {"q": "on", "good": "e", "bad": "Q"},
]
TASKS: dict[str, dict[str, Any]] = {
    "pairs": {"kind": "multiple_choice", "prompt": "{q}", "choices": ["{good}", "{bad}"], "answer": 0},
    "texts": {"kind": "rolling", "prompt": "{q} {good}"},
    "written": {
        "kind": "generation",
        "prompt": "{q}",
        "answer": "{good}",
        "max_tokens": 3,
        "samples": 2,
        "temperature": 1.0,
    },
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    ids = np.array(tiny.tokenizer().encode("the thing on a cat " * 60))
    return tiny.token_artifacts(tmp_path_factory.mktemp("run"), {"train": ids, "heldout": ids})


def write_tasks(folder: Path) -> tuple[Path, ...]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name, values in TASKS.items():
        (folder / f"{name}.yaml").write_text(json.dumps({"name": name, "data": "rows.jsonl"} | values))
    return tuple(Path(f"{name}.yaml") for name in TASKS)


def config(**changes: Any) -> PretrainConfig:
    given = {"model": SHAPE, "tokens": 320, "batch_tokens": 64, "sequence": 16, "learning_rate": 1e-2}
    return PretrainConfig(**(given | {"precision": "fp32", "validate_every": 2} | changes))


def test_scores_are_the_models_and_training_is_the_same(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    names, (asked, plain) = write_tasks(tmp_path), (tmp_path / "asked", tmp_path / "plain")
    for root in (asked, plain):
        (root / "out").mkdir(parents=True)
    given = config(validation_tasks=names)
    figures = pretrain(given, inputs, Work(asked / "out", asked / "keep", seed=2, base=tmp_path))
    stage(config(), inputs, Work(plain / "out", plain / "keep", seed=2))
    weights = [(root / "out" / "model" / "model.safetensors").read_bytes() for root in (asked, plain)]
    assert weights[0] == weights[1]

    rows = read_metrics(asked / "out" / "records" / "metrics.jsonl")
    seen = [row["step"] for row in rows if "task/pairs/accuracy" in row]
    assert seen == [2, 4, 5] and rows[1]["task/texts/bits_per_byte"] != rows[4]["task/texts/bits_per_byte"]
    tokenizer = inputs["tokenizer"].file("tokenizer.json")
    loaded = load_stage("m", asked / "out" / "model", tokenizer, one_turn=False)
    scores = {name: run_task(read_task(tmp_path / name), loaded) for name in map(str, names)}
    assert figures["task/pairs/accuracy"] == scores["pairs.yaml"]["accuracy"]["value"]
    assert figures["task/texts/bits_per_byte"] == pytest.approx(scores["texts.yaml"]["bits_per_byte"])
    assert figures["task/written/pass@2"] == scores["written.yaml"]["pass@2"]["value"]


def test_two_tasks_of_one_name_are_refused(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    name, *_ = write_tasks(tmp_path)
    with pytest.raises(GroundupError, match=r"pretrain\.validation_tasks: two tasks are called pairs"):
        pretrain(config(validation_tasks=(name, name)), inputs, Work(tmp_path, tmp_path, seed=2, base=tmp_path))


def test_a_blueprint_names_tasks_and_their_files_are_read_first(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    (tmp_path / "notes.txt").write_text("Hello.")
    text = "size: 1M\ncurate: {sources: [{kind: files, path: notes.txt}]}\npretrain: {validation_tasks: [pairs.yaml]}\n"
    (tmp_path / "b.yaml").write_text(text)
    loaded = load(tmp_path / "b.yaml")
    made = {one.name: one for one in stages(loaded.blueprint)}
    assert made["pretrain"].function == "groundup.evaluation.in_training:pretrain"
    assert "validation_tasks" not in made["pretrain"].configuration(loaded.blueprint).result_affecting()
    loaded.check_files()
    (tmp_path / "rows.jsonl").write_text("[]\n")
    with pytest.raises(GroundupError, match=r"b\.yaml:3:.*validation_tasks.*rows\.jsonl:1: is no JSON object"):
        loaded.check_files()
