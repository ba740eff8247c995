"""The one training loop. It knows steps, accumulation, the schedule, guards, checkpoints and metrics; an objective
knows what a batch is and what its loss is.

The batch of step n depends on the objective's seed and n alone. So the loop's own state is little more than one
integer, and a run that was killed resumes exactly as if it had not been. Checkpoints are written between steps.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError
from groundup.parallel.checkpointing.part import below
from groundup.parallel.engine import DivergedError, Engine, RegroupedError, StepResult
from groundup.progress import Progress
from groundup.training.checkpoint import Checkpoint, Checkpoints
from groundup.training.configuration import GuardConfig, LoopConfig
from groundup.training.guard import SpikeGuard
from groundup.training.objective import Objective
from groundup.training.schedule import learning_rate
from groundup.training.stopping import Stop, stop_after_the_step
from groundup.training.telemetry import Flops, Telemetry

OBJECTIVE = "objective."  # what the names of an objective's own tensors begin with in a checkpoint
NAMED_DOCUMENTS = 8  # of the step that diverged


@dataclass(frozen=True)
class TrainPlan:
    """How long and how fast to train."""

    steps: int
    learning_rate: float  # the peak
    config: LoopConfig
    validate_every: int = 0  # steps; 0: only at the end


@dataclass
class TrainState:
    """All of the loop's state besides the engine's."""

    guard: SpikeGuard
    step: int = 0  # steps done
    validation: dict[str, float] | None = None  # the newest figures
    seconds: float = 0.0  # of training, including those of earlier processes
    diverged: tuple[int, ...] = ()  # steps that are skipped
    returns: int = 0

    @classmethod
    def of(cls, saved: Checkpoint | None, config: GuardConfig) -> "TrainState":
        """The state that a checkpoint holds; without one, the initial state."""
        guard = SpikeGuard(config)
        if saved is None:
            return cls(guard)
        values = saved.values
        guard.restore(values["guard"])
        diverged = tuple(values["diverged"])
        return cls(guard, saved.step, values["validation"], values["seconds"], diverged, values["returns"])

    def values(self, measured: dict[str, float]) -> dict[str, Any]:
        """JSON-ready; `measured`: the validation figures of exactly this step, where there are any."""
        return {
            "validation": self.validation,
            "measured": measured,
            "seconds": self.seconds,
            "diverged": self.diverged,
            "returns": self.returns,
            "guard": self.guard.state(),
        }


def train(
    engine: Engine,
    objective: Objective,
    plan: TrainPlan,
    *,
    title: str,
    checkpoints: Checkpoints,
    metrics_path: Path,
    progress: Progress,
    documents: Callable[[int], Sequence[str]] = lambda step: (),
    flops: Flops | None = None,
    look: Callable[[Engine], dict[str, float]] = lambda engine: {},
) -> dict[str, float]:
    """Train to the end of the plan, from the newest checkpoint where there is one; returns the last validation figures.

    The model ends with its averaged weights, where the engine keeps an average.

    Args:
        title: of the stage, for messages.
        metrics_path: the JSON-lines file of the steps' rows; other telemetry is written next to it.
        documents: names what a step reads, for the error when it diverges.
        flops: of a micro-batch, forward and backward, for MFU.
        look: gives further validation figures; collective.

    Raises:
        GroundupError: the loss is not finite, too many steps in a row are spikes, or the disk is full.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state is saved.
    """
    return _Loop(engine, objective, plan, title, checkpoints, progress, documents, look).run(metrics_path, flops)


class _Loop:
    """One training, from its state on."""

    def __init__(
        self,
        engine: Engine,
        objective: Objective,
        plan: TrainPlan,
        title: str,
        checkpoints: Checkpoints,
        progress: Progress,
        documents: Callable[[int], Sequence[str]],
        look: Callable[[Engine], dict[str, float]],
    ) -> None:
        self.engine, self.objective, self.plan, self.title = engine, objective, plan, title
        self.checkpoints, self.progress, self.documents, self.look = checkpoints, progress, documents, look
        self.state = TrainState.of(None, plan.config.guard)

    def run(self, metrics_path: Path, flops: Flops | None) -> dict[str, float]:
        plan, config = self.plan, self.plan.config
        saved = self.checkpoints.load(lambda line: self.progress.say(f"    {self.title}: {line}"))
        if saved is not None:
            self._restore(saved)
            self.progress.say(f"    {self.title}: resuming after step {self.state.step:,} of {plan.steps:,}")
        elif config.guard.on_divergence == "return":
            self._save({})
        try:
            with (
                Telemetry(
                    config.telemetry,
                    self.engine,
                    metrics_path,
                    title=self.title,
                    steps=plan.steps,
                    resume_at=self.state.step,
                    settings=config.result_affecting(),
                    flops=flops,
                ) as telemetry,
                stop_after_the_step() as stop,
            ):
                while self.state.step < plan.steps:
                    try:
                        self._steps(telemetry, stop)
                    except RegroupedError as regrouped:
                        self.state.step = regrouped.step
                        self.progress.say(f"    {self.title}: processes have come or gone; {regrouped}")
                    except DivergedError as error:
                        self._return(error)
                    if stop.asked:
                        raise KeyboardInterrupt
        finally:
            self.checkpoints.finish()
        if self.engine.average:
            self.engine.average.swap()
        return self.state.validation or {}

    def _steps(self, telemetry: Telemetry, stop: Stop) -> None:
        """Train from the state's step to the end, or until asked to stop."""
        engine, plan, state = self.engine, self.plan, self.state
        telemetry.resume(state.step)
        before, began = state.seconds, time.monotonic()
        with self.progress.task(self.title, plan.steps, "steps", done=state.step) as task:
            for step in range(state.step, plan.steps):
                row, note = self._step(step, telemetry)
                task.advance(1, note=note)
                state.step, state.seconds = step + 1, before + time.monotonic() - began
                measured: dict[str, float] = {}
                if state.step == plan.steps or (plan.validate_every and state.step % plan.validate_every == 0):
                    with engine.averaged():
                        measured = state.validation = self.objective.validate(engine) | self.look(engine)
                telemetry.write(state.step, row | measured | {"seconds": round(state.seconds, 3)})
                stopping = engine.any(stop.asked)
                if state.step == plan.steps or stopping or engine.any(self.checkpoints.due(state.step, measured)):
                    self._save(measured)
                if stopping:
                    stop.asked = True
                    break

    def _step(self, step: int, telemetry: Telemetry) -> tuple[dict[str, Any], str]:
        """One step; its row of metrics and the note of the progress bar."""
        engine, objective, plan = self.engine, self.objective, self.plan
        rate = learning_rate(step, plan.steps, plan.learning_rate, plan.config)
        row: dict[str, Any] = {"learning_rate": rate}
        if step in self.state.diverged:
            return row | {"diverged": 1}, ""
        with telemetry.step(step + 1):
            data_rank = engine.begin(step)
            row |= objective.prepare(step, engine)
            done = _Updates()
            for update in range(step * objective.updates, (step + 1) * objective.updates):
                batches = objective.batches(update, data_rank)
                weights = [objective.weight(batch) for batch in batches]
                result = engine.train_step(
                    batches,
                    weights,
                    objective.loss,
                    rate,
                    plan.config.clip_norm,
                    where=f"{self.title}, step {step + 1}",
                    accept=self.state.guard.accept,
                )
                done.add(batches, weights, result, objective.after(update, batches, rate, result))
                if objective.enough():
                    break
        row |= done.means() | {objective.unit: done.weight} | ({"skipped": done.skipped} if done.skipped else {})
        row |= telemetry.measured(objective.unit, done.batches, done.weights, done.weight)
        return row, f"loss {row['loss']:.3f}"

    def _return(self, error: DivergedError) -> None:
        """Return to the last checkpoint and skip the step that diverged, where that is asked for.

        Raises:
            GroundupError: it is not asked for, or has happened too often; names the step's documents.
        """
        diverged, guard = self.state, self.plan.config.guard
        self.checkpoints.finish()
        may_return = guard.on_divergence == "return" and diverged.returns < guard.max_returns
        saved = self.checkpoints.load() if may_return else None
        if saved is None:
            names = list(self.documents(diverged.step))
            more = f" and {len(names) - NAMED_DOCUMENTS} more" if len(names) > NAMED_DOCUMENTS else ""
            read = f"; it read {', '.join(names[:NAMED_DOCUMENTS])}{more}" if names else ""
            raise GroundupError(error.what + read, where=error.where, do=error.do) from error
        self._restore(saved)
        self.state = replace(
            self.state,
            seconds=diverged.seconds,
            diverged=(*diverged.diverged, diverged.step),
            returns=diverged.returns + 1,
        )
        self.progress.say(f"    {error.where}: {error.what}; returning to step {saved.step:,} and skipping that step")

    def _save(self, measured: dict[str, float]) -> None:
        parts = self.engine.snapshot() | below(OBJECTIVE, self.objective.snapshot())
        values = self.state.values(measured) | {"objective": self.objective.values()}
        self.checkpoints.save(self.state.step, parts, values)

    def _restore(self, saved: Checkpoint) -> None:
        self.engine.load(saved.tensors)
        self.objective.restore(saved.tensors.below(OBJECTIVE), saved.values["objective"])
        self.checkpoints.restore_random_state(saved)
        self.state = TrainState.of(saved, self.plan.config.guard)


class _Updates:
    """The updates of one step: what they read, and the means of their figures."""

    def __init__(self) -> None:
        self.batches, self.weights = list[Any](), list[float]()
        self.weight, self.skipped = 0.0, 0
        self._figures = list[dict[str, float]]()

    def add(
        self, batches: Sequence[Any], weights: Sequence[float], result: StepResult, figures: Mapping[str, float]
    ) -> None:
        self.batches += batches
        self.weights += weights
        self.weight += result.weight
        self.skipped += not result.taken
        self._figures.append(
            {"loss": result.loss, **result.statistics, "gradient_norm": result.gradient_norm, **figures}
        )

    def means(self) -> dict[str, float]:
        count = len(self._figures)
        return {name: sum(figures[name] for figures in self._figures) / count for name in self._figures[0]}


def keep_lasting(checkpoints: Checkpoints, records: Path) -> None:
    """Copy the checkpoints that are kept permanently into a stage's records."""
    for folder in checkpoints.lasting():
        shutil.copytree(folder, records / "checkpoints" / folder.name)
