"""The CORE bundle of DCLM (arXiv 2406.11794), as nanochat packs it: 22 tasks, and the mean of their centred accuracies.

    core.yaml              icl_tasks: [{label, dataset_uri, num_fewshot: [10], icl_task_type, continuation_delimiter?}]
    eval_meta_data.csv     the random baseline of each task, in percent
    eval_data/...          a JSONL file for each task

    multiple_choice        {query, choices, gold}: which choice is likeliest after the query, by its mean over tokens
    schema                 {context_options, continuation, gold}: after which context the continuation is likeliest
    language_modeling      {context, continuation}: would greedy decoding write the continuation

The files are the user's own; nothing is fetched. Rows are shuffled and examples drawn by the seeds that the field uses,
so that accuracies are those of nanochat's evaluation (of prompts longer than the context one token more is read).
"""

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from groundup.errors import GroundupError
from groundup.evaluation.tasks.likelihood import beginning, likelihoods
from groundup.evaluation.tasks.run import centred, mean_of
from groundup.evaluation.tasks.task import read_rows
from groundup.inference.loading import LoadedModel

KINDS: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("query", "choices", "gold"),
    "schema": ("context_options", "continuation", "gold"),
    "language_modeling": ("context", "continuation"),
}
ORDER, EXAMPLES = 1337, 1234  # seeds: of the rows, and with a row's index of its examples
AT_ONCE = 256  # rows whose prompts are scored together


@dataclass(frozen=True)
class CoreTask:
    """One task of the bundle."""

    name: str
    kind: str
    data: Path
    shots: int
    delimiter: str
    random: float
    """The accuracy of guessing, 0 to 1."""


def read_bundle(folder: Path) -> list[CoreTask]:
    """The bundle's tasks, in its order.

    Raises:
        GroundupError: a file is missing or can't be read, or a task has no baseline or is of an unknown kind.
    """
    try:
        values = YAML(typ="safe", pure=True).load((folder / "core.yaml").read_text(encoding="utf-8"))
        with (folder / "eval_meta_data.csv").open(encoding="utf-8", newline="") as file:
            baselines = {row["Eval Task"]: float(row["Random baseline"]) / 100 for row in csv.DictReader(file)}
        tasks = [
            CoreTask(
                str(one["label"]),
                str(one["icl_task_type"]),
                folder / "eval_data" / one["dataset_uri"],
                int(one["num_fewshot"][0]),
                str(one.get("continuation_delimiter", " ")),
                baselines[one["label"]],
            )
            for one in values["icl_tasks"]
        ]
    except (OSError, UnicodeDecodeError, YAMLError, ValueError, TypeError, KeyError, IndexError) as error:
        what = f"is no bundle of CORE ({type(error).__name__}: {' '.join(str(error).split())})"
        raise GroundupError(what, where=str(folder), do="see docs/evaluation.md") from error
    for task in tasks:
        if task.kind not in KINDS:
            raise GroundupError(f"the task {task.name} is of the unknown kind {task.kind}", where=str(folder))
    return tasks


def run_core(tasks: Sequence[CoreTask], loaded: LoadedModel, limit: int | None = None) -> dict[str, Any]:
    """Ask all tasks.

    Args:
        limit: so many rows of each, drawn as nanochat draws them.

    Returns:
        `core`, the mean of the centred accuracies, `{value, standard_error}`, and `tasks`: for each `name`, `kind`,
        `n`, `shots`, `accuracy`, `accuracy_centred` and `random`.

    Raises:
        GroundupError: a file can't be read, or a row lacks a field.
    """
    scores = [_run(task, loaded, limit) for task in tasks]
    values = [one["accuracy_centred"] for one in scores]
    error = sum(one["standard_error"] ** 2 for one in values) ** 0.5 / len(values)
    return {
        "core": {"value": sum(one["value"] for one in values) / len(values), "standard_error": error},
        "tasks": scores,
    }


def rows_of(task: CoreTask, limit: int | None = None) -> list[dict[str, Any]]:
    """The task's rows, shuffled; raises GroundupError."""
    rows = read_rows(task.data)
    for row in rows:
        if missing := [name for name in KINDS[task.kind] if name not in row]:
            raise GroundupError(f"a row has no {', '.join(missing)}", where=str(task.data))
    random.Random(ORDER).shuffle(rows)
    rows = rows[:limit]
    if len(rows) <= task.shots:
        raise GroundupError(f"has too few rows for {task.shots} examples", where=str(task.data))
    return rows


def core_texts(task: CoreTask, limit: int | None = None) -> list[list[str]]:
    """Of each question what training must not have read: with its right answer. Raises GroundupError."""
    return [[_solved(task, row)] for row in rows_of(task, limit)]


def _run(task: CoreTask, loaded: LoadedModel, limit: int | None) -> dict[str, Any]:
    rows = rows_of(task, limit)
    right: list[bool] = []
    for first in range(0, len(rows), AT_ONCE):
        right += _marks(task, loaded, rows, range(first, min(first + AT_ONCE, len(rows))))
    accuracy = mean_of(right)
    return {
        "name": task.name,
        "kind": task.kind,
        "n": len(rows),
        "shots": task.shots,
        "accuracy": accuracy,
        "accuracy_centred": centred(accuracy, task.random),
        "random": task.random,
    }


def _marks(task: CoreTask, loaded: LoadedModel, rows: Sequence[Mapping[str, Any]], which: range) -> list[bool]:
    """Whether the model is right about each of these rows."""
    pairs, counts = [], []
    for index in which:
        some = _split(task, loaded, _prompts(task, rows, index))
        pairs += some
        counts.append(len(some))
    found = iter(list(zip(likelihoods(loaded, pairs), pairs, strict=True)))
    marks = []
    for index, count in zip(which, counts, strict=True):
        scored = [next(found) for _ in range(count)]
        if task.kind == "language_modeling":
            marks.append(scored[0][0].greedy)
            continue
        means = [one.logprob / len(after) if after else float("-inf") for one, (_, after) in scored]
        marks.append(means.index(max(means)) == rows[index]["gold"])
    return marks


def _prompts(task: CoreTask, rows: Sequence[Mapping[str, Any]], index: int) -> list[str]:
    """The texts that are compared for a row; of language modelling the text without and with its continuation."""
    others = [other for other in range(len(rows)) if other != index]
    drawn = random.Random(EXAMPLES + index).sample(others, task.shots) if task.shots else []
    before = "".join(_solved(task, rows[one]) + "\n\n" for one in drawn)
    row = rows[index]
    if task.kind == "multiple_choice":
        return [f"{before}{row['query']}{task.delimiter}{choice}" for choice in row["choices"]]
    if task.kind == "schema":
        return [f"{before}{one}{task.delimiter}{row['continuation']}" for one in row["context_options"]]
    without = f"{before}{row['context'].strip()}{task.delimiter}"
    return [without.strip(), without + row["continuation"]]


def _solved(task: CoreTask, row: Mapping[str, Any]) -> str:
    if task.kind == "multiple_choice":
        return f"{row['query']}{task.delimiter}{row['choices'][row['gold']]}"
    if task.kind == "schema":
        return f"{row['context_options'][row['gold']]}{task.delimiter}{row['continuation']}"
    return f"{row['context'].strip()}{task.delimiter}{row['continuation']}"


def _split(task: CoreTask, loaded: LoadedModel, prompts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """(context, continuation) of each prompt: they differ after a common beginning, or before a common end."""
    ids = [[beginning(loaded), *loaded.tokenizer.encode(prompt)] for prompt in prompts]
    if task.kind == "schema":
        size = _common([one[::-1] for one in ids])
        return [(one[: len(one) - size], one[len(one) - size :]) for one in ids]
    size = _common(ids)
    return [(one[:size], one[size:]) for one in (ids[1:] if task.kind == "language_modeling" else ids)]


def _common(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with."""
    shortest = min(map(len, sequences))
    return next((at for at in range(shortest) if len({one[at] for one in sequences}) > 1), shortest)
