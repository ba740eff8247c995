"""Training a ladder of small models: each rung is an artifact of the stage `pretrain`, in a run folder of the ladder's
own.

    curate -> tokenizer -> tokens      once, as the blueprint says
    tokens -> pretrain-<key>           for each rung, with the blueprint's overrides and the rung's

So a ladder that was killed resumes where it was, and one whose blueprint changed trains again only what that touches.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from groundup.artifacts import Artifact
from groundup.blueprint.load import LoadedBlueprint, load
from groundup.errors import GroundupError
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import stages
from groundup.pipeline.runner import Selection, run
from groundup.planning.ladder import Rung
from groundup.planning.study import MeasuredRung
from groundup.progress import Bar, Progress, Silent

DATA_STAGES = ("curate", "tokenizer", "tokens")


def prepare(loaded: LoadedBlueprint, folder: RunFolder, progress: Progress, until: str = DATA_STAGES[-1]) -> Artifact:
    """Bring the ladder's documents, tokenizer and tokens up to date, or what of them is made `until` a stage; the
    artifact of the last one.

    Raises:
        GroundupError: a stage failed.
    """
    steps = stages(loaded.blueprint)
    for name in DATA_STAGES[: DATA_STAGES.index(until) + 1]:
        result = run(loaded, folder, steps, Selection(only=name), _without_lines(progress))
    return result.artifacts[until]


def climb(
    loaded: LoadedBlueprint, folder: RunFolder, rungs: Sequence[Rung], progress: Progress
) -> Iterator[tuple[MeasuredRung, Mapping[str, Artifact]]]:
    """Train what is not trained yet, in this order; after `prepare`. Each rung with its artifacts, by stage.

    Raises:
        GroundupError: a rung failed, or there is no held-out text to measure a loss on.
    """
    for rung in rungs:
        one = load(loaded.path, [*loaded.overrides, *rung.overrides])
        result = run(one, folder, stages(one.blueprint), Selection(only="pretrain"), _without_lines(progress))
        artifact = result.artifacts["pretrain"]
        figures = artifact.figures
        if "heldout_loss" not in figures:
            raise GroundupError(
                "there is too little held-out text to measure a loss on",
                where="curate.heldout",
                do="raise it, or add documents",
            )
        yield (
            MeasuredRung(
                rung,
                figures["parameters"],
                figures["tokens"],
                figures["steps"],
                figures["heldout_loss"],
                artifact.manifest.measured.seconds,
                figures["epochs"],
            ),
            result.artifacts,
        )


def _without_lines(progress: Progress) -> Progress | None:
    """None where nothing is shown: the stages' own processes are silent then too."""
    return None if isinstance(progress, Silent) else _TasksOnly(progress)


class _TasksOnly:
    """Draws the work under way, and prints no line for each of many short runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def task(self, title: str, total: float | None, unit: str = "", done: float = 0) -> AbstractContextManager[Bar]:
        return self._progress.task(title, total, unit, done)

    def say(self, line: str) -> None:
        return None
