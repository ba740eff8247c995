"""CORE's bundle: the same rows, examples and marks as a direct computation over full forward passes."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.evaluation.tasks.core import core_texts, read_bundle, rows_of, run_core
from groundup.inference.loading import LoadedModel
from groundup.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["the cat sat on the mat and the dog"] * 10, vocabulary=280)
WORDS = ["the cat", "a dog", "sat on", "mat", "the mat and", "7"]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    made = tiny.model(3, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=256).eval()
    return LoadedModel("m", made, TOKENIZER, frozenset())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("bundle"), random.Random(0)

    def some(count: int) -> list[str]:
        return draw.sample(WORDS, count)

    rows = {
        "one/choice.jsonl": [{"query": some(1)[0], "choices": some(3), "gold": draw.randrange(3)} for _ in range(12)],
        "schema.jsonl": [
            {"context_options": some(2), "continuation": some(1)[0], "gold": draw.randrange(2)} for _ in range(12)
        ],
        "lm.jsonl": [{"context": some(1)[0] + " ", "continuation": some(1)[0]} for _ in range(12)],
    }
    kinds = ["multiple_choice", "schema", "language_modeling"]
    for name, some_rows in rows.items():
        file = folder / "eval_data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in some_rows))
    tasks = [
        f"- {{label: {kind}, dataset_uri: {name}, num_fewshot: [{shots}], icl_task_type: {kind}, "
        f"continuation_delimiter: '{delimiter}'}}\n"
        for (name, kind, shots, delimiter) in zip(rows, kinds, (0, 2, 1), ("\\nA: ", " ", " "), strict=True)
    ]
    (folder / "core.yaml").write_text("icl_tasks:\n" + "".join(tasks).replace("'\\nA: '", '"\\nA: "'))
    (folder / "eval_meta_data.csv").write_text(
        "Eval Task,Task Category,Random baseline\nmultiple_choice,x,33.3\nschema,x,50.0\nlanguage_modeling,x,0.0\n"
    )
    return folder


def losses(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    """[T - 1] of each token after the first."""
    with torch.no_grad():
        logits = loaded.model(torch.tensor([ids]))[0][0]
    return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="none")


def expected(loaded: LoadedModel, kind: str, rows: list[dict], shots: int, delimiter: str) -> float:
    """The accuracy, one row and one text at a time."""
    right = 0
    for index, row in enumerate(rows):
        drawn = random.Random(1234 + index).sample([n for n in range(len(rows)) if n != index], shots)

        def text(one: dict, option: int, kind: str = kind) -> str:
            if kind == "multiple_choice":
                return one["query"] + delimiter + one["choices"][option]
            if kind == "schema":
                return one["context_options"][option] + delimiter + one["continuation"]
            return one["context"].strip() + delimiter + one["continuation"]

        before = "".join(text(rows[n], rows[n].get("gold", 0)) + "\n\n" for n in drawn)
        count = {"multiple_choice": 3, "schema": 2, "language_modeling": 1}[kind]
        ids = [[TOKENIZER.end_of_text, *TOKENIZER.encode(before + text(row, option))] for option in range(count)]
        if kind == "language_modeling":
            context = [TOKENIZER.end_of_text, *TOKENIZER.encode((before + row["context"].strip() + delimiter).strip())]
            start = next(n for n, (a, b) in enumerate(zip([*context, -1], ids[0], strict=False)) if a != b)
            with torch.no_grad():
                likeliest = loaded.model(torch.tensor(ids))[0][0].argmax(-1).tolist()
            right += likeliest[start - 1 : -1] == ids[0][start:]
            continue
        if kind == "multiple_choice":
            size = next(n for n, column in enumerate(zip(*ids, strict=False)) if len(set(column)) > 1)
            means = [float(losses(loaded, one)[size - 1 :].mean()) for one in ids]
        else:
            ends = [one[::-1] for one in ids]
            size = next(n for n, column in enumerate(zip(*ends, strict=False)) if len(set(column)) > 1)
            means = [float(losses(loaded, one)[-size:].mean()) for one in ids]
        right += means.index(min(means)) == row["gold"]
    return right / len(rows)


def test_scores_are_those_of_full_passes(loaded: LoadedModel, bundle: Path) -> None:
    tasks = read_bundle(bundle)
    scores = run_core(tasks, loaded)
    assert [one["name"] for one in scores["tasks"]] == ["multiple_choice", "schema", "language_modeling"]
    for task, one in zip(tasks, scores["tasks"], strict=True):
        accuracy = expected(loaded, task.kind, rows_of(task), task.shots, task.delimiter)
        assert one["accuracy"]["value"] == pytest.approx(accuracy), task.name
        assert one["accuracy_centred"]["value"] == pytest.approx((accuracy - task.random) / (1 - task.random))
        assert (one["n"], one["random"]) == (12, task.random)
    centred = [one["accuracy_centred"]["value"] for one in scores["tasks"]]
    assert scores["core"]["value"] == pytest.approx(sum(centred) / 3) and scores["core"]["standard_error"] > 0
    assert len({one["accuracy"]["value"] for one in scores["tasks"]}) > 1


def test_a_limit_takes_the_first_rows_of_the_fields_order(bundle: Path) -> None:
    task = read_bundle(bundle)[0]
    lines = [json.loads(line) for line in task.data.read_text().splitlines()]
    random.Random(1337).shuffle(lines)
    assert rows_of(task, 4) == lines[:4]
    assert core_texts(task, 1) == [[f"{lines[0]['query']}\nA: {lines[0]['choices'][lines[0]['gold']]}"]]


def test_what_is_no_bundle_is_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="no bundle of CORE"):
        read_bundle(tmp_path)
    task = read_bundle(bundle)[0]
    (tmp_path / "rows.jsonl").write_text('{"query": "x"}\n')
    with pytest.raises(GroundupError, match="a row has no choices, gold"):
        rows_of(replace(task, data=tmp_path / "rows.jsonl"))
    with pytest.raises(GroundupError, match="too few rows for 12 examples"):
        rows_of(replace(task, shots=12))
