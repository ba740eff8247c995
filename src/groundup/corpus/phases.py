"""Phases of work: a function over many tasks, each of which is recorded when it is finished, with its progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from groundup.artifacts.work import Figures
from groundup.corpus.engine import DataEngine
from groundup.corpus.finished import sweep
from groundup.progress import Progress

TaskT = TypeVar("TaskT")


@dataclass(frozen=True)
class Phases:
    """Runs a function over all tasks of a phase, showing how much of them is done.

    Args:
        engine: where tasks run.
        keep: a folder for what the engine needs.
        progress: where to show the work.
    """

    engine: DataEngine
    keep: Path
    progress: Progress

    def run(
        self,
        title: str,
        folder: Path,
        function: Callable[[TaskT], Figures],
        tasks: Sequence[TaskT],
        labels: Sequence[str] | None = None,
        megabytes: Sequence[float] | None = None,
    ) -> list[Figures]:
        """The result of `function` for each task, in the order of the tasks.

        Args:
            title: what the progress calls it.
            folder: where its finished tasks are recorded.
            function: what is run.
            tasks: what it is run on.
            labels: what each task is called in an error.
            megabytes: how much each reads; without it, tasks are counted.
        """
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        found: list[Figures] = [{} for _ in tasks]
        sizes, unit = ([1.0] * len(tasks), "parts") if megabytes is None else (megabytes, "MB")
        labels = labels or [f"{title}, part {number}" for number in range(len(tasks))]
        with self.progress.task(title, sum(sizes), unit) as task:
            for index, figures in self.engine.map(function, tasks, labels, self.keep / "marks"):
                found[index] = figures
                task.advance(sizes[index])
        return found

    def alone(self) -> "Phases":
        """The same in this process: less work than an engine takes to start."""
        return Phases(DataEngine(), self.keep, self.progress)
