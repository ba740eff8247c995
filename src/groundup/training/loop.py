"""The one training loop. It knows steps, accumulation, the schedule, guards, checkpoints and metrics; an objective
knows what a batch is and what its loss is.

The batch of step n depends on the objective's seed and n alone. So the loop's whole place is one integer beside the
engine's tensors, and a run that was killed goes on exactly as if it had not been.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import DivergedError, Engine, RegroupedError, Statistics
from groundup.progress import Progress
from groundup.training.checkpoint import Checkpoint, Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.guard import SpikeGuard
from groundup.training.schedule import learning_rate
from groundup.training.stopping import Stop, stop_after_the_step
from groundup.training.telemetry import Flops, Telemetry

NAMED_DOCUMENTS = 8  # of the step that diverged


class Objective(Protocol):
    """What is trained: pretraining, SFT, a reward model, DPO."""

    unit: str  # what `weight` counts: "tokens", "pairs"

    def batches(self, step: int, data_rank: DataRank) -> Sequence[Any]:
        """The micro-batches of a step that `data_rank` reads, a function of the arguments alone.

        Every rank has as many micro-batches; all ranks together read the same examples however many they are.
        """

    def weight(self, batch: Any) -> float:
        """How many losses a micro-batch's loss is the sum of."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Statistics]:
        """(sum of losses, sums of what else is worth a curve)."""

    def validate(self, engine: Engine) -> dict[str, float]:
        """Held-out figures, names to values."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    steps: int
    learning_rate: float
    config: LoopConfig
    validate_every: int = 0  # steps; 0: only at the end


@dataclass
class _Place:
    """All of the loop's state beside the engine's."""

    step: int  # steps done
    held_out: dict[str, float]
    seconds: float  # of training, earlier processes counted in
    passed_over: list[int]  # steps that diverged and are left out
    returns: int
    guard: SpikeGuard

    @classmethod
    def of(cls, saved: Checkpoint | None, config: LoopConfig) -> "_Place":
        guard = SpikeGuard(config.guard)
        if saved is None:
            return cls(0, {}, 0.0, [], 0, guard)
        values = saved.values
        guard.restore(values["guard"])
        return cls(saved.step, values["held_out"], values["seconds"], values["passed_over"], values["returns"], guard)

    def values(self, looked_at: dict[str, float]) -> dict[str, Any]:
        return {
            "held_out": self.held_out,
            "looked_at": looked_at,
            "seconds": self.seconds,
            "passed_over": self.passed_over,
            "returns": self.returns,
            "guard": self.guard.state(),
        }


def train(
    engine: Engine,
    objective: Objective,
    plan: Plan,
    *,
    title: str,
    checkpoints: Checkpoints,
    metrics_path: Path,
    progress: Progress,
    documents: Callable[[int], Sequence[str]] = lambda step: (),
    flops: Flops | None = None,
) -> dict[str, float]:
    """Train to the end of the plan, from the newest checkpoint where there is one; returns the last held-out figures.

    The model ends with its averaged weights, where the engine keeps an average.

    Args:
        documents: names what a step reads, for the error when it diverges.
        flops: of a micro-batch, forward and backward, for the share of the machine's ceiling that is reached.

    Raises:
        GroundupError: the loss is not finite, too many steps in a row are spikes, or the disk is full.
        KeyboardInterrupt: SIGINT or SIGTERM came; the place is saved.
    """
    saved = checkpoints.load(lambda line: progress.say(f"    {title}: {line}"))
    place = _Place.of(saved, plan.config)
    if saved is not None:
        _take_up(engine, checkpoints, saved)
        progress.say(f"    {title}: going on after step {place.step:,} of {plan.steps:,}")
    elif plan.config.guard.on_divergence == "return":
        checkpoints.save(0, engine.snapshot(), place.values({}))
    try:
        with (
            Telemetry(
                plan.config,
                engine,
                metrics_path,
                title=title,
                steps=plan.steps,
                resume_at=place.step,
                flops=flops,
            ) as telemetry,
            stop_after_the_step() as stop,
        ):
            while place.step < plan.steps:
                try:
                    _steps(engine, objective, plan, place, checkpoints, telemetry, progress, title, stop)
                except RegroupedError as regrouped:
                    place.step = regrouped.step
                    progress.say(f"    {title}: processes have come or gone; {regrouped}")
                except DivergedError as error:
                    _return(engine, plan, place, checkpoints, progress, error, documents)
                if stop.asked:
                    raise KeyboardInterrupt
    finally:
        checkpoints.finish()
    if engine.average:
        engine.average.swap()
    return place.held_out


def _steps(
    engine: Engine,
    objective: Objective,
    plan: Plan,
    place: _Place,
    checkpoints: Checkpoints,
    telemetry: Telemetry,
    progress: Progress,
    title: str,
    stop: Stop,
) -> None:
    """Go on from `place` to the end, or until asked to stop."""
    telemetry.resume(place.step)
    before, began = place.seconds, time.monotonic()
    with progress.task(title, plan.steps, "steps", done=place.step) as task:
        for step in range(place.step, plan.steps):
            rate = learning_rate(step, plan.steps, plan.learning_rate, plan.config)
            row: dict[str, Any] = {"learning_rate": rate}
            if step not in place.passed_over:
                with telemetry.step(step + 1):
                    batches = objective.batches(step, engine.begin(step))
                    weights = [objective.weight(batch) for batch in batches]
                    result = engine.train_step(
                        batches,
                        weights,
                        objective.loss,
                        rate,
                        plan.config.clip_norm,
                        where=f"{title}, step {step + 1}",
                        accept=place.guard.accept,
                    )
                row |= {"loss": result.loss, **result.statistics, "gradient_norm": result.gradient_norm}
                row |= {objective.unit: result.weight} | ({} if result.taken else {"skipped": 1})
                row |= telemetry.measured(objective.unit, batches, weights, result)
                task.advance(1, note=f"loss {result.loss:.3f}")
            else:
                row["passed_over"] = 1
                task.advance(1)
            place.step, place.seconds = step + 1, before + time.monotonic() - began
            looked_at: dict[str, float] = {}
            if place.step == plan.steps or (plan.validate_every and place.step % plan.validate_every == 0):
                with engine.averaged():
                    looked_at = place.held_out = objective.validate(engine)
            telemetry.write(place.step, row | looked_at | {"seconds": round(place.seconds, 3)})
            stopping = engine.any(stop.asked)
            if place.step == plan.steps or stopping or engine.any(checkpoints.due(place.step, looked_at)):
                checkpoints.save(place.step, engine.snapshot(), place.values(looked_at))
            if stopping:
                stop.asked = True
                break


def _return(
    engine: Engine,
    plan: Plan,
    place: _Place,
    checkpoints: Checkpoints,
    progress: Progress,
    error: DivergedError,
    documents: Callable[[int], Sequence[str]],
) -> None:
    """Go back to the last checkpoint and pass over the step that diverged, where that is asked for.

    Raises:
        GroundupError: it is not asked for, or has happened too often; names the step's documents.
    """
    step, guard = place.step, plan.config.guard
    checkpoints.finish()
    saved = checkpoints.load() if guard.on_divergence == "return" and place.returns < guard.most_returns else None
    if saved is None:
        names = list(documents(step))
        more = f" and {len(names) - NAMED_DOCUMENTS} more" if len(names) > NAMED_DOCUMENTS else ""
        read = f"; it read {', '.join(names[:NAMED_DOCUMENTS])}{more}" if names else ""
        raise GroundupError(error.what + read, where=error.where, do=error.do) from error
    _take_up(engine, checkpoints, saved)
    passed_over, returns, seconds = [*place.passed_over, step], place.returns + 1, place.seconds
    back = _Place.of(saved, plan.config)
    place.step, place.held_out, place.guard = back.step, back.held_out, back.guard
    place.passed_over, place.returns, place.seconds = passed_over, returns, seconds
    progress.say(f"    {error.where}: {error.what}; back to step {saved.step:,}, and past that step")


def _take_up(engine: Engine, checkpoints: Checkpoints, saved: Checkpoint) -> None:
    engine.load(saved.tensors)
    checkpoints.restore_random_state(saved)


def keep_lasting(checkpoints: Checkpoints, records: Path) -> None:
    """Copy the checkpoints that are kept for good into a stage's records."""
    for folder in checkpoints.lasting():
        shutil.copytree(folder, records / "checkpoints" / folder.name)
