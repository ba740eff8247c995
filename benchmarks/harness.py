"""`make bench NAME=harness`: are our scores those of lm-evaluation-harness? The same model, rows and tasks, four ways.

A small model is trained on made-up sentences and exported. The harness's own model of transformers reads the folder
(`hf`); with its scores are compared those of our task reader, of the harness asking groundup's model, and of the
harness asking our server (`local-completions`: prompts' log-probabilities, echo). A ratio of 1 is an equal score.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare

PEER = "lm-eval"
ROWS, STEPS, CONTEXT = 200, 120, 64
ANIMALS = ("cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant")
VERBS = ("sees", "hears", "likes", "finds")
THINGS = ("milk", "a bone", "green grass", "some corn", "the moon", "a mouse", "honey", "sugar")
SCORES: tuple[tuple[str, str, str, Better], ...] = (  # task, the harness's name, ours
    ("choice", "acc", "accuracy", "higher"),
    ("choice", "acc_norm", "accuracy_normalised", "higher"),
    ("reading", "bits_per_byte", "bits_per_byte", "lower"),
    ("writing", "exact_match", "exact", "higher"),
)
OURS: dict[str, dict[str, Any]] = {
    "choice": {"kind": "multiple_choice", "prompt": "{q}", "choices": "c", "answer": "{a}"},
    "reading": {"kind": "rolling", "prompt": "{t}"},
    "writing": {"kind": "generation", "prompt": "{q}", "answer": "{r}", "max_tokens": 8, "stop": ["."]},
}
THEIRS: dict[str, dict[str, Any]] = {
    "choice": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{c}}",
        "doc_to_target": "{{a}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "reading": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{t}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "writing": {
        "output_type": "generate_until",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{r}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 8, "do_sample": False},
        "filter_list": [
            {"name": "stripped", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
        ],
        "metric_list": [{"metric": "exact_match"}],
    },
}


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """A row for each score and way; the model and the rows are made, not `data`."""
    with TemporaryDirectory() as folder:
        in_process(make, folder, 16 if check else ROWS, 10 if check else STEPS)
        theirs = peer_in_process(by_harness, folder, "hf")
        ours = {"our tasks": in_process(by_our_tasks, folder)}
        if isinstance(theirs, Measurement):  # the harness is installed
            ours["groundup in the harness"] = in_process(by_harness, folder, "groundup")
            ours["our server in the harness"] = in_process(by_harness, folder, "server")
        for way, measured in ours.items():
            for task, name, _, better in SCORES:
                figure = partial(_score, f"{task}/{name}")
                yield compare(f"{task}, {way}", name, figure(measured), theirs.figure(figure), PEER, "", better)


def _score(name: str, measured: Measurement) -> float:
    return float(measured.value[name])


def make(folder: str, rows: int, steps: int) -> None:
    """The model as a Hugging Face folder, the rows, and the tasks in both forms."""
    import numpy as np

    from groundup.model import CustomLanguageModel, LLMConfig
    from groundup.model.huggingface import save_huggingface
    from groundup.tokenizer import Tokenizer
    from groundup.training import fit

    draw = np.random.default_rng(0)

    def sentence(animal: int, right: bool = True) -> tuple[str, str]:
        thing = animal if draw.random() < 0.7 else int(draw.integers(len(THINGS)))
        verb = VERBS[int(draw.integers(len(VERBS)))]
        return f"The {ANIMALS[animal]} {verb}", THINGS[thing]

    text = [" ".join(f"{a} {b}." for a, b in map(sentence, draw.integers(8, size=4).tolist())) for _ in range(400)]
    tokenizer = Tokenizer.train(text, vocabulary=320)
    config = LLMConfig(
        vocab_size=tokenizer.vocabulary_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
    )
    model = CustomLanguageModel(config, seed=0)
    documents = [[tokenizer.end_of_text, *tokenizer.encode(one)] for one in text]
    fit(model, documents, steps=steps, learning_rate=1e-2, batch=16, sequence=32)
    home = Path(folder)
    ends = {"end_of_text": tokenizer.end_of_text, "end": tokenizer.end, "pad": tokenizer.pad}
    save_huggingface(home / "model", model, "float32", **ends)
    tokenizer.save(home / "model" / "tokenizer.json")
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    given = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (home / "model" / "tokenizer_config.json").write_text(json.dumps(given), encoding="utf-8")
    asked = []
    for _ in range(rows):
        animal = int(draw.integers(8))
        others = [int(one) for one in draw.permutation(8) if one != animal][:3]
        order = draw.permutation([animal, *others]).tolist()
        q, r = sentence(animal)
        choices = [THINGS[one] for one in order]
        asked.append({"q": q, "c": choices, "a": order.index(animal), "r": THINGS[animal], "t": f"{q} {r}."})
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    for name, values in OURS.items():
        own = {"name": name, "data": "rows.jsonl", **values}
        (home / f"{name}.ours.yaml").write_text(json.dumps(own), encoding="utf-8")
    (home / "tasks").mkdir()
    for name, values in THEIRS.items():
        files = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(home / "rows.jsonl")}}}
        own = {"task": name, "test_split": "test", **files, **values}
        (home / "tasks" / f"{name}.yaml").write_text(json.dumps(own), encoding="utf-8")


def by_our_tasks(folder: str) -> dict[str, float]:
    """`task/score`, under the harness's names."""
    from groundup.evaluation.tasks.run import run_task
    from groundup.evaluation.tasks.task import read_task
    from groundup.inference.loading import load_folder

    loaded = load_folder(Path(folder) / "model")
    scores = {task: run_task(read_task(Path(folder) / f"{task}.ours.yaml"), loaded) for task in OURS}
    found = {f"{task}/{name}": scores[task][own] for task, name, own, _ in SCORES}
    return {name: one["value"] if isinstance(one, dict) else one for name, one in found.items()}


def by_harness(folder: str, way: str) -> dict[str, float]:
    """The same by the harness, asking `hf`, `groundup` or the `server`."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    model = str(Path(folder) / "model")
    manager = TaskManager(include_path=str(Path(folder) / "tasks"), include_defaults=False)
    options: dict[str, Any] = {"tasks": list(THEIRS), "task_manager": manager, "bootstrap_iters": 0}
    if way == "hf":
        found = simple_evaluate("hf", model_args={"pretrained": model, "device": "cpu", "dtype": "float32"}, **options)
    elif way == "groundup":
        from groundup.evaluation.harness import harness_model

        found = simple_evaluate(harness_model(model), **options)
    else:
        with served(model) as address:
            arguments: dict[str, Any] = {"model": "m", "base_url": f"{address}/v1/completions", "tokenizer": model}
            arguments |= {"max_length": CONTEXT, "batch_size": 16}
            found = simple_evaluate("local-completions", model_args=arguments, **options)
    scores: dict[str, float] = {}
    for task, name, _, _ in SCORES:
        (value,) = [value for key, value in found["results"][task].items() if key.split(",")[0] == name]
        scores[f"{task}/{name}"] = float(value)
    return scores


@contextmanager
def served(model: str) -> Iterator[str]:
    """The address of our server, which serves a folder within the block."""
    import uvicorn

    from groundup.inference.loading import load_folder
    from groundup.serve import create_app

    loaded = load_folder(Path(model))
    server = uvicorn.Server(uvicorn.Config(create_app({"m": lambda: loaded}, key=None), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
