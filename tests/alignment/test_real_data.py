"""Files as others publish them, through every stage: instructions, preferences, and problems with checkable answers.

The same stages run on a few rows of the same formats, and where the real files are there, on these.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from test_stage import TOKENIZER, documents, run

import tiny
from groundup.alignment.configuration import DpoConfig, GrpoConfig, RewardConfig, SftConfig
from groundup.artifacts import Artifact
from groundup.artifacts.metrics import read_metrics
from groundup.model.weights import save_model
from made.real import DATA

CONTEXT = 1024
REAL = {
    "instructions": DATA / "sft" / "rasbt_instruction" / "instruction-data.json",
    "alpaca": DATA / "sft" / "alpaca_demo" / "alpaca_en_demo.json",
    "preferences": DATA / "pref" / "rasbt_dpo" / "instruction-data-with-preference.json",
    "problems": DATA / "rl" / "gsm8k" / "train.jsonl",
}
ROWS = {"instructions": 1100, "alpaca": 999, "preferences": 1100, "problems": 7473}


def written(folder: Path) -> dict[str, Path]:
    """The same formats, with 24 rows each."""
    some = range(24)
    tasks = [{"instruction": f"Repeat {n}.", "input": f"word {n}" * (n % 2), "output": f"It is {n}."} for n in some]
    ranked = [row | {"chosen": row["output"], "rejected": f"No, {row['output']}"} for row in tasks]
    problems = [
        {"question": f"What is {n} plus 1?", "answer": f"{n} + 1 = <<{n}+1={n + 1}>>\n#### {n + 1}"} for n in some
    ]
    made = {name: folder / f"{name}.json" for name in ("instructions", "alpaca", "preferences")}
    made["problems"] = folder / "problems.jsonl"
    for name, rows in (("instructions", tasks), ("alpaca", tasks), ("preferences", ranked)):
        made[name].write_text(json.dumps(rows, indent=1))
    made["problems"].write_text("".join(json.dumps(row) + "\n" for row in problems))
    return made


def started(root: Path) -> dict[str, Artifact]:
    for name in ("curate", "tokenizer", "pretrain"):
        (root / name).mkdir(parents=True)
    documents(root / "curate" / "documents")
    TOKENIZER.save(root / "tokenizer" / "tokenizer.json")
    model = tiny.model(spread=0.05, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=CONTEXT)
    save_model(root / "pretrain" / "model", model)
    figures = {"precision": "fp32"}
    return {name: tiny.artifact(root / name, name, figures) for name in ("curate", "tokenizer", "pretrain")}


def trained(files: dict[str, Path], root: Path, epochs: float) -> dict[str, Artifact]:
    """SFT on both kinds of instructions, a reward model and DPO on the preferences, GRPO on the problems."""
    start, fast = started(root / "start"), {"learning_rate": 1e-3}
    made = dict(start)
    for name in ("alpaca", "instructions"):
        config = SftConfig(data=files[name], epochs=epochs, batch_examples=4, **fast)
        made["sft"] = run("sft", config, start, root / name)
        made[name] = made["sft"]
    pairs = {"data": files["preferences"], "epochs": epochs, "batch_pairs": 4, **fast}
    made["reward"] = run("reward", RewardConfig(**pairs), made, root / "run")
    made["dpo"] = run("dpo", DpoConfig(**pairs), made, root / "run")
    grpo: dict[str, Any] = {"iterations": 2, "rollouts": 8, "group": 4, "minibatch": 8, "max_answer_tokens": 6}
    config = GrpoConfig(data=files["problems"], verifier="number", **grpo, **fast)
    made["grpo"] = run("grpo", config, made, root / "run")
    return made


def check(made: dict[str, Artifact], rows: dict[str, int]) -> None:
    for name in ("alpaca", "instructions"):
        data = made[name].figures["data"]
        assert data["formats"] == {"Alpaca": rows[name]} and data["skipped_rows"] <= 0.05 * rows[name]
        steps = read_metrics(made[name].path / "records" / "metrics.jsonl")
        assert steps[-1]["loss"] < steps[0]["loss"]
    for name in ("reward", "dpo"):
        figures = made[name].figures
        assert figures["data"]["formats"] == {"preference": rows["preferences"]}
        assert figures["pairs"] + figures["heldout_pairs"] >= 0.95 * rows["preferences"]
        assert 0 <= figures["heldout_accuracy"] <= 1
    assert made["grpo"].figures["data"]["formats"] == {"task": rows["problems"]}
    assert made["grpo"].figures["prompts"] >= 0.95 * rows["problems"]
    assert [row["step"] for row in read_metrics(made["grpo"].path / "records" / "metrics.jsonl")] == [1, 2]


def test_published_formats(tmp_path: Path) -> None:
    check(trained(written(tmp_path), tmp_path / "trained", epochs=2.0), dict.fromkeys(ROWS, 24))


@pytest.mark.slow
@pytest.mark.skipif(not all(path.is_file() for path in REAL.values()), reason="the real files are not there")
def test_published_files(tmp_path: Path) -> None:
    check(trained(REAL, tmp_path / "trained", epochs=0.05), ROWS)
