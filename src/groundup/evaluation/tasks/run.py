"""Asking a model a task's questions, and marking its answers."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from groundup.errors import GroundupError
from groundup.evaluation.checker import token_f1
from groundup.evaluation.tasks.likelihood import continuation_ids, likelihoods, rolling_nats
from groundup.evaluation.tasks.task import EvalTask, fill, read_rows
from groundup.inference.engine import InferenceEngine
from groundup.inference.loading import LoadedModel
from groundup.inference.sampling import Sampling
from groundup.inference.text import TextAnswer

SLOTS = 32  # questions that are answered together
Scores = dict[str, Any]


def run_task(task: EvalTask, loaded: LoadedModel, seed: int = 1) -> Scores:
    """Ask all questions of a task.

    Returns:
        `name`, `kind`, `n`, and by kind: `accuracy`, `accuracy_normalised`, `accuracy_centred` and the baselines
        `random` and `majority`; `accuracy` and `perplexity`; `bits_per_byte`; or the metric and `pass@k`. Means are
        `{value, standard_error}`.

    Raises:
        GroundupError: the data can't be read, a row lacks a field, or an answer is no choice.
    """
    examples, rows = _rows(task)
    before = "".join(_solved(task, row) + task.between for row in examples)
    if task.kind == "rolling":
        scores = _read_through(task, loaded, rows)
    elif task.kind == "generation":
        scores = _generate(task, loaded, rows, before, seed)
    else:
        scores = (_choose if task.kind == "multiple_choice" else _judge)(task, loaded, rows, before)
    return {"name": task.name, "kind": task.kind, "n": len(rows), "shots": task.shots} | scores


def texts_of(task: EvalTask) -> list[list[str]]:
    """Of each question of a task what training must not have read: its prompt, or its choices where it has none.

    Raises:
        GroundupError: as `run_task`.
    """
    return [
        [prompt] if (prompt := fill(task.prompt, row)) else _choices(task, row) if task.choices else []
        for row in _rows(task)[1]
    ]


def _rows(task: EvalTask) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(examples, what is asked)"""
    rows = read_rows(task.data)
    if task.examples is not None:
        examples = read_rows(task.examples)[: task.shots]
    else:
        examples, rows = rows[: task.shots], rows[task.shots :]
    if len(examples) < task.shots or not rows:
        raise GroundupError(f"has too few rows for {task.shots} examples", where=str(task.examples or task.data))
    return examples, rows[: task.limit]


def _choices(task: EvalTask, row: Mapping[str, Any]) -> list[str]:
    if isinstance(task.choices, str):
        found = row.get(task.choices)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise GroundupError(f"a row's field {task.choices} is no list of texts", where=str(task.data))
        return found
    return [fill(template, row) for template in task.choices]


def _right(task: EvalTask, row: Mapping[str, Any], choices: Sequence[str]) -> int:
    """The index of the right choice, which the file gives as such or by its text."""
    answer = task.answer if isinstance(task.answer, int) else fill(task.answer, row)
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if str(answer).isdecimal() and int(answer) < len(choices):
        return int(answer)
    raise GroundupError(f"the answer {answer!r} is none of the {len(choices)} choices", where=str(task.data))


def _solved(task: EvalTask, row: Mapping[str, Any]) -> str:
    """An example: its prompt with the right answer."""
    if task.kind == "multiple_choice":
        choices = _choices(task, row)
        return _joined(task, fill(task.prompt, row), choices[_right(task, row, choices)])
    return _joined(task, fill(task.prompt, row), fill(str(task.answer), row))


def _joined(task: EvalTask, prompt: str, answer: str) -> str:
    return prompt + (task.separator if prompt else "") + answer


def _choose(task: EvalTask, loaded: LoadedModel, rows: Sequence[Mapping[str, Any]], before: str) -> Scores:
    pairs, lengths, right = [], [], []
    for row in rows:
        choices = _choices(task, row)
        right.append(_right(task, row, choices))
        lengths.append([max(1, len(choice)) for choice in choices])
        prompt = fill(task.prompt, row)
        separator = task.separator if prompt else ""
        pairs += [continuation_ids(loaded, before + prompt, separator + choice) for choice in choices]
    logprobs = iter([one.logprob for one in likelihoods(loaded, pairs)])
    plain, normalised = [], []
    for sizes, answer in zip(lengths, right, strict=True):
        found = [next(logprobs) for _ in sizes]
        plain.append(_likeliest(found) == answer)
        normalised.append(_likeliest([one / size for one, size in zip(found, sizes, strict=True)]) == answer)
    chance = sum(1 / len(sizes) for sizes in lengths) / len(rows)
    accuracy = mean_of(plain)
    return {
        "accuracy": accuracy,
        "accuracy_normalised": mean_of(normalised),
        "accuracy_centred": centred(accuracy, chance) if chance < 1 else None,
        "random": chance,
        "majority": max(Counter(right).values()) / len(rows),
    }


def _likeliest(logprobs: Sequence[float]) -> int:
    return max(range(len(logprobs)), key=logprobs.__getitem__)


def _judge(task: EvalTask, loaded: LoadedModel, rows: Sequence[Mapping[str, Any]], before: str) -> Scores:
    pairs = []
    for row in rows:
        prompt = fill(task.prompt, row)
        answer = (task.separator if prompt else "") + fill(str(task.answer), row)
        pairs.append(continuation_ids(loaded, before + prompt, answer))
    found = likelihoods(loaded, pairs)
    mean = sum(one.logprob for one in found) / len(found)
    return {"accuracy": mean_of([one.greedy for one in found]), "perplexity": math.exp(-mean), "logprob": mean}


def _read_through(task: EvalTask, loaded: LoadedModel, rows: Sequence[Mapping[str, Any]]) -> Scores:
    texts = [fill(task.prompt, row) for row in rows]
    nats, size = sum(rolling_nats(loaded, text) for text in texts), sum(len(text.encode()) for text in texts)
    return {"bits_per_byte": nats / math.log(2) / max(1, size), "bytes": size}


def _generate(task: EvalTask, loaded: LoadedModel, rows: Sequence[Mapping[str, Any]], before: str, seed: int) -> Scores:
    engine = InferenceEngine(loaded.model, slots=min(SLOTS, len(rows) * task.samples), words=loaded.words)
    answers = []
    for number, row in enumerate(rows):
        text = before + fill(task.prompt, row)
        ids = loaded.chat_prompt([{"role": "user", "content": text}]) if task.chat else loaded.tokenizer.encode(text)
        for sample in range(task.samples):
            sampling = Sampling(task.temperature, seed=seed + number * task.samples + sample)
            cut = ids[-(loaded.context - 1) :]
            answers.append(
                TextAnswer(
                    engine,
                    loaded.tokenizer,
                    cut,
                    max_tokens=task.max_tokens,
                    stop=task.stop,
                    stop_ids=loaded.stop,
                    sampling=sampling,
                )
            )
    engine.run()
    marks = []
    for number, row in enumerate(rows):
        truth = fill(str(task.answer), row)
        some = answers[number * task.samples : (number + 1) * task.samples]
        marks.append([_mark(task, answer.take(), truth) for answer in some])
    scores: Scores = {task.metric: mean_of([sum(some) / len(some) for some in marks])}
    if task.samples > 1:
        right = [sum(mark == 1 for mark in some) for some in marks]
        for k in (one for one in (1, 2, 5, 10, 100) if one <= task.samples):
            scores[f"pass@{k}"] = mean_of([pass_at(task.samples, count, k) for count in right])
    return scores


def _mark(task: EvalTask, answer: str, truth: str) -> float:
    answer, truth = answer.strip(), truth.strip()
    if task.filter is not None:
        found = re.findall(task.filter, answer)
        answer = (found[-1] if isinstance(found[-1], str) else found[-1][0]).strip() if found else ""
    if task.metric == "f1":
        return token_f1(answer, truth)
    return float(truth in answer if task.metric == "contains" else answer == truth)


def pass_at(n: int, right: int, k: int) -> float:
    """The chance that at least one of k answers is right, from n of which `right` are (arXiv 2107.03374, eq. 1).

    >>> pass_at(4, 2, 2)
    0.8333333333333334
    """
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def centred(accuracy: Mapping[str, float], chance: float) -> dict[str, float]:
    """Of an accuracy with its standard error: 0 is what guessing gives, 1 is all right."""
    return {key: (value - (chance if key == "value" else 0)) / (1 - chance) for key, value in accuracy.items()}


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """The mean and its standard error over questions."""
    n = len(values)
    mean = sum(values) / n
    spread = sum((value - mean) ** 2 for value in values) / max(1, n - 1)
    return {"value": mean, "standard_error": math.sqrt(spread / n)}
