"""The one training loop. It knows steps, accumulation, the schedule, checkpoints and metrics; an objective knows
what a batch is and what its loss is.

The batch of step n depends on the objective's seed and n alone. So the loop's whole place is one integer beside the
engine's tensors, and a run that was killed goes on exactly as if it had not been.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from groundup.artifacts import MetricsLog
from groundup.parallel.engine import SingleDevice, Statistics
from groundup.progress import Progress
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.schedule import learning_rate


class Objective(Protocol):
    """What is trained: pretraining, SFT, a reward model, DPO."""

    unit: str  # what `weight` counts: "tokens", "pairs"

    def batches(self, step: int) -> Sequence[Any]:
        """The micro-batches of a step, a function of `step` alone."""

    def weight(self, batch: Any) -> float:
        """How many losses a micro-batch's loss is the sum of."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Statistics]:
        """(sum of losses, sums of what else is worth a curve)."""

    def validate(self, engine: SingleDevice) -> dict[str, float]:
        """Held-out figures, names to values."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    steps: int
    learning_rate: float
    config: LoopConfig
    validate_every: int = 0  # steps; 0: only at the end


def train(
    engine: SingleDevice,
    objective: Objective,
    plan: Plan,
    *,
    title: str,
    checkpoints: Checkpoints,
    metrics_path: Any,
    progress: Progress,
) -> dict[str, float]:
    """Train to the end of the plan, from the newest checkpoint where there is one; returns the last held-out figures.

    Raises:
        GroundupError: the loss is not finite, or the disk is full.
    """
    start, held_out, seconds_before = 0, dict[str, float](), 0.0
    saved = checkpoints.load()
    if saved is not None:
        engine.restore(saved.tensors)
        start, held_out, seconds_before = saved.step, saved.values["held_out"], saved.values["seconds"]
        progress.say(f"    {title}: going on after step {start:,} of {plan.steps:,}")
        if saved.threads != torch.get_num_threads():
            progress.say(
                f"    {title}: the checkpoint was made with {saved.threads} threads, this process has "
                f"{torch.get_num_threads()}: sums round differently, so the result will not be the same bit for bit"
            )
    metrics, began = MetricsLog(metrics_path, resume_at=start), time.monotonic()

    def seconds() -> float:
        return seconds_before + time.monotonic() - began

    with progress.task(title, plan.steps, "steps", done=start) as task:
        for step in range(start, plan.steps):
            batches = objective.batches(step)
            weights = [objective.weight(batch) for batch in batches]
            rate = learning_rate(step, plan.steps, plan.learning_rate, plan.config)
            result = engine.train_step(
                batches, weights, objective.loss, rate, plan.config.clip_norm, where=f"{title}, step {step + 1}"
            )
            done = step + 1
            row = {
                "loss": result.loss,
                **result.statistics,
                "learning_rate": rate,
                "gradient_norm": result.gradient_norm,
                objective.unit: sum(weights),
                "seconds": round(seconds(), 3),
            }
            if done == plan.steps or (plan.validate_every and done % plan.validate_every == 0):
                held_out = objective.validate(engine)
                row |= held_out
            metrics.write(done, **row)
            task.advance(1, note=f"loss {result.loss:.3f}")
            if done == plan.steps or checkpoints.due():
                checkpoints.save(done, engine.state(), {"held_out": held_out, "seconds": seconds()})
    metrics.close()
    return held_out
