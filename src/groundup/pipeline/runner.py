"""Executing a blueprint: each stage that is not done, in order, in a process of its own."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.artifacts import Artifact, Figures, durable
from groundup.artifacts.manifest import Manifest
from groundup.artifacts.outside import Digests
from groundup.artifacts.store import RUN
from groundup.blueprint.dump import dump
from groundup.blueprint.load import LoadedBlueprint
from groundup.errors import GroundupError
from groundup.pipeline.folder import Remembered, RunFolder
from groundup.pipeline.graph import Stage, check_name, descendants
from groundup.pipeline.messages import StageRequest
from groundup.pipeline.process import run_stage
from groundup.pipeline.status import Step, resolve, survey
from groundup.planning import predicted
from groundup.planning.advice import duration
from groundup.planning.forecast import StagePlan
from groundup.progress import Progress, Silent, clock

Forecast = Callable[[Mapping[str, Figures]], Mapping[str, StagePlan]]  # figures of stages that are done -> plans
Make = Callable[[StageRequest, Path], str]  # (what to make, its log) -> the name of the artifact's folder


@dataclass(frozen=True)
class Selection:
    """Which stages to run, besides those that are not done."""

    only: str | None = None
    """Make this one alone; its inputs must be there."""
    from_: str | None = None
    """Run this one and every one that is made from it again."""
    force: frozenset[str] = frozenset()
    """Run these again."""


@dataclass
class RunResult:
    """What a run did."""

    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    artifacts: dict[str, Artifact] = field(default_factory=dict)


def run(
    loaded: LoadedBlueprint,
    folder: RunFolder,
    stages: Sequence[Stage],
    selection: Selection | None = None,
    progress: Progress | None = None,
    forecast: Forecast | None = None,
    settled: Mapping[str, Artifact] | None = None,
    make: Make = run_stage,
) -> RunResult:
    """Bring the run folder up to date with the blueprint.

    What was published stays whatever happens; a killed run resumes where it was.

    Args:
        progress: where lines are printed; without it stages are silent too.
        forecast: asked once, if there is anything to do, for what each stage will take.
        settled: artifacts by stage that are taken as they are, without asking whether they are stale.
        make: makes one artifact; a job of several processes has its own (`coordination.leading`).

    Raises:
        GroundupError: a stage failed, another process works in the folder, or the folder holds something else.
    """
    selection = selection or Selection()
    forced = _forced(selection, stages)
    folder.check()
    try:
        with folder.store.lock(RUN, wait=1.0):
            return _Execution(loaded, folder, stages, selection, forced, progress, forecast, make).execute(settled)
    except OSError as error:
        if durable.is_disk_error(error):
            raise durable.disk_error(error, folder.path) from error
        raise


def _forced(selection: Selection, stages: Sequence[Stage]) -> frozenset[str]:
    named = {*selection.force, *(name for name in (selection.only, selection.from_) if name)}
    for name in named:
        check_name(name, stages)
    return selection.force | (descendants(selection.from_, stages) if selection.from_ else frozenset())


class _Execution:
    """One execution, under the folder's lock."""

    def __init__(
        self,
        loaded: LoadedBlueprint,
        folder: RunFolder,
        stages: Sequence[Stage],
        selection: Selection,
        forced: frozenset[str],
        progress: Progress | None,
        forecast: Forecast | None,
        make: Make,
    ) -> None:
        self.loaded, self.folder, self.stages = loaded, folder, stages
        self.selection, self.forced, self.forecast = selection, forced, forecast
        self.make = make
        self.progress, self.silent = progress or Silent(), progress is None
        self.result = RunResult()
        self.expected: Mapping[str, StagePlan] = {}
        self.digests = Digests(folder.cache)

    def execute(self, settled: Mapping[str, Artifact] | None) -> RunResult:
        self.folder.sweep()
        steps = survey(self.loaded, self.folder, self.stages, settled)
        to_do = [step.stage.name for step in steps if self._is_due(step)]
        self._check_only(steps)
        self._write_blueprint()
        self._remember()
        if not to_do:
            self.progress.say(f"Nothing to do: {self._about(steps)} up to date in {self.folder.path}")
        else:
            if self.forecast:
                self.expected = self.forecast(
                    {step.stage.name: step.artifact.figures for step in steps if step.artifact}
                )
            self.progress.say(self._first_line(to_do))
        for step in steps:
            self._take(step, bool(to_do))
        self.digests.save()
        return self.result

    def _is_due(self, step: Step) -> bool:
        if self.selection.only and step.stage.name != self.selection.only:
            return False
        return step.artifact is None or step.stage.name in self.forced

    def _about(self, steps: Sequence[Step]) -> str:
        return f"{self.selection.only} is" if self.selection.only else f"all {len(steps)} stages are"

    def _check_only(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.stage.name == self.selection.only and step.waits_for:
                raise GroundupError(
                    f"{step.stage.name} needs {', '.join(step.waits_for)}, which is not up to date",
                    where=str(self.folder.path),
                    do="run without --only",
                )

    def _first_line(self, to_do: Sequence[str]) -> str:
        line = f"{len(to_do)} of {len(self.stages)} stages to do in {self.folder.path}: {', '.join(to_do)}"
        seconds = sum(self.expected[name].seconds for name in to_do if name in self.expected)
        return f"{line}; about {duration(seconds)} on this machine" if seconds else line

    def _write_blueprint(self) -> None:
        for name, text in (
            ("blueprint.yaml", dump(self.loaded, self.folder.path)),
            ("blueprint.source.yaml", self.loaded.text),
        ):
            path = self.folder.path / name
            if not path.is_file() or path.read_bytes() != text.encode():
                durable.write_text(path, text)

    def _remember(self, making: str | None = None) -> None:
        """Note the artifacts in use; those of stages that this run has not come to stay the last run's."""
        try:
            before = self.folder.remembered()
        except GroundupError as error:
            self.progress.say(f"{error.where}: {error.what}; it is rebuilt")
            before = None
        older = before.stages if before else {}
        newer = {name: artifact.path.name for name, artifact in self.result.artifacts.items()}
        in_use = {one.name: (older | newer)[one.name] for one in self.stages if one.name in older | newer}
        now = Remembered(str(self.loaded.path.absolute()), list(self.loaded.overrides), in_use)
        self.folder.remember(now, making)

    def _take(self, step: Step, working: bool) -> None:
        """Use the stage's artifact, or make it."""
        name = step.stage.name
        if self.selection.only and name != self.selection.only:
            if step.artifact:
                self.result.artifacts[name] = step.artifact
            return
        if step.inputs is None or any(self.result.artifacts[one] is not step.inputs[one] for one in step.stage.inputs):
            step = resolve(step.stage, self.result.artifacts, self.loaded, self.folder)
        if self._is_due(step):
            artifact = self._make(step)
            self.result.made.append(name)
        else:
            assert step.artifact is not None
            artifact = step.artifact
            artifact.verify(self.digests.of_file)
            self.result.reused.append(name)
            if working:
                self.folder.event("reused", name, artifact=artifact.path.name)
        self.result.artifacts[name] = artifact
        self._remember()
        if step.stage.delivers:
            self.folder.deliver(artifact, step.stage.delivers)

    def _make(self, step: Step) -> Artifact:
        assert step.key is not None and step.inputs is not None
        name, started = step.stage.name, time.time()
        planned = predicted.expected(self.expected[name]) if name in self.expected else {}
        self.folder.event("started", name, key=step.key.digest, expected=planned)
        self._remember(making=name)
        request = StageRequest(
            run=self.folder.path,
            function=step.stage.function,
            sources=step.stage.sources,
            config=step.config,
            key=step.key,
            inputs={input_: artifact.path for input_, artifact in step.inputs.items()},
            base=self.loaded.base,
            started=started,
            afresh=name in self.forced,
            sees_run=step.stage.sees_run,
            silent=self.silent,
        )
        try:
            made = self.folder.store.root / self.make(request, self.folder.log(name))
        except BaseException as error:
            # The error itself matters more than its row, and a full disk may be the very error.
            with suppress(OSError):
                failed = isinstance(error, Exception)  # else it was stopped, and has the number of a signal to say
                event, said = ("failed", str(error)) if failed else ("stopped", "")
                self.folder.event(event, name, seconds=time.time() - started, error=said)
                self._remember()
            raise
        artifact = Artifact(made, Manifest.read(made))
        measured = artifact.manifest.measured
        self.folder.event(
            "done",
            name,
            artifact=made.name,
            seconds=measured.seconds,
            peak_rss_bytes=measured.peak_rss_bytes,
            figures=artifact.figures,
        )
        self.progress.say(
            f"  {name:<10} {clock(measured.seconds):>7} {measured.peak_rss_bytes / 2**20:>7,.0f} MiB  "
            f"{summary(artifact.figures)}"
        )
        return artifact


def summary(figures: Mapping[str, Any]) -> str:
    """A few words on what a stage made: its own, or its first plain figures."""
    if isinstance(figures.get("summary"), str):
        return str(figures["summary"])
    plain = {name: value for name, value in figures.items() if type(value) in (int, float, str)}
    return ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in list(plain.items())[:4])


def _number(value: float | str) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value
