"""`groundup eval --task` and `--core`: tasks that a model is asked, with what its training has read of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.cli import models
from groundup.cli.options import print_json
from groundup.terminal import printable

if TYPE_CHECKING:
    from groundup.inference.loading import LoadedModel


def ask_tasks(model: str | None, files: Sequence[Path], json: bool) -> None:
    """Ask each task, and print its scores with errors, baselines and how many items training has read."""
    from groundup.evaluation.tasks.run import run_task, texts_of
    from groundup.evaluation.tasks.task import read_task

    tasks = [read_task(file) for file in files]
    loaded = models.load(model)
    results = [run_task(task, loaded) | {"contamination": _seen(loaded, task.name, texts_of(task))} for task in tasks]
    if json:
        print_json(results)
        return
    for scores in results:
        print(printable(f"{scores.pop('name')} ({scores.pop('kind')}, n = {scores.pop('n'):,}, "), end="")
        print(f"{scores.pop('shots')} examples)")
        seen = scores.pop("contamination")
        for name, value in scores.items():
            if isinstance(value, dict):
                print(f"  {name:<20} {value['value']:7.4f} ± {value['standard_error']:.4f}")
            elif value is not None:
                print(f"  {name:<20} {value:7.4f}" if isinstance(value, float) else f"  {name:<20} {value:,}")
        print(f"  {'in training text':<20} {_shown(seen)}")


def ask_core(model: str | None, folder: Path, limit: int | None, json: bool) -> None:
    """Ask the tasks of a bundle of CORE, and print them with their centred average."""
    from groundup.evaluation.tasks.core import core_texts, read_bundle, run_core

    tasks = read_bundle(folder)
    loaded = models.load(model)
    scores = run_core(tasks, loaded, limit)
    for task, one in zip(tasks, scores["tasks"], strict=True):
        one["contamination"] = _seen(loaded, task.name, core_texts(task, limit))
    if json:
        print_json(scores)
        return
    print(f"{'':<36} {'n':>6} {'shots':>5} {'accuracy':>18} {'chance':>7} {'centred':>8}  in training text")
    for one in scores["tasks"]:
        accuracy = one["accuracy"]
        print(
            printable(f"{one['name']:<36} {one['n']:>6,} {one['shots']:>5} {accuracy['value']:>8.4f} ± ")
            + f"{accuracy['standard_error']:.4f} {one['random']:>8.4f} {one['accuracy_centred']['value']:>8.4f}  "
            + _shown(one["contamination"])
        )
    core = scores["core"]
    print(f"CORE {core['value']:.4f} ± {core['standard_error']:.4f}, the mean of {len(tasks)} centred accuracies")


def _seen(loaded: "LoadedModel", name: str, texts: Sequence[Sequence[str]]) -> dict[str, Any] | None:
    """What training has read of a task; None where the model's documents are not here."""
    if loaded.documents is None:
        return None
    from groundup.evaluation.tasks.contamination import contamination

    return contamination(name, texts, loaded.documents)


def _shown(seen: Mapping[str, Any] | None) -> str:
    if seen is None:
        return "not known: its documents are not here"
    short = f", {seen['too_short']:,} too short to look for" if seen["too_short"] else ""
    return f"{seen['found']:,} of {seen['items']:,} items{short}"
