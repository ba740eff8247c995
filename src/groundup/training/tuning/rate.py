"""The learning-rate range test (arXiv 1506.01186): steps whose rate rises exponentially, until the loss blows up.

Too low a rate teaches nothing, too high a one destroys. In between the loss falls, and the rate at which it has done
four fifths of its fall, well before the bottom, is suggested as the peak of a schedule. On small models it lay within
a factor of ten of the best of a sweep, in the flat part around it: with it the loss fell nine tenths as far or more
(tests/training/tuning). It is a start: a longer training wants less rather than more.
"""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundup.errors import GroundupError
from groundup.parallel.engine import DivergedError, Engine
from groundup.training.objective import Objective

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 200
REMEMBERED = 0.9  # of the running mean of the loss from step to step
BLOWN_UP, MIN_RISE = 0.5, 0.1  # a rise by so much of the fall so far, and by so much of the first loss
FALL = 0.8  # of the fall of the loss is done at the rate that is suggested
WIDTH = 5  # steps on either side that a smoothed loss is the mean of
MIN_STEPS = 4 * WIDTH


@dataclass(frozen=True)
class RangeTest:
    """A curve of losses over rates."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    """Each the mean of its neighbours."""
    suggested: float
    blew_up: bool
    """False: the highest rate was reached."""


def range_test(
    engine: Engine,
    objective: Objective,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    clip_norm: float = 1.0,
    report: Callable[[int, float, float], None] = lambda step, rate, loss: None,
) -> RangeTest:
    """Train for up to `steps` steps at rates from `lowest` to `highest`. The engine's model is of no use afterwards.

    Args:
        report: called after each step with its number, rate and loss.

    Raises:
        GroundupError: the loss blew up at once, or never fell.
    """
    rates, losses = list[float](), list[float]()
    mean, least = 0.0, float("inf")
    blew_up = False
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / max(1, steps - 1))
        batches = objective.batches(step, engine.data_rank)
        weights = [objective.weight(batch) for batch in batches]
        try:
            loss = engine.train_step(batches, weights, objective.loss, rate, clip_norm, where="tune").loss
        except DivergedError:
            blew_up = True
            break
        if not math.isfinite(loss):  # fp16 skips such a step
            blew_up = True
            break
        rates.append(rate)
        losses.append(loss)
        report(step, rate, loss)
        mean = REMEMBERED * mean + (1 - REMEMBERED) * loss
        running = mean / (1 - REMEMBERED ** (step + 1))
        least = min(least, running)
        if running > least + max(BLOWN_UP * (losses[0] - least), MIN_RISE * losses[0]):
            blew_up = True
            break
    if len(rates) < MIN_STEPS:
        raise GroundupError(
            f"the loss blew up after {len(rates)} steps, at a learning rate of {(rates or [lowest])[-1]:.2g}",
            do="begin lower with --from, or take more steps",
        )
    smoothed = _smoothed(losses)
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), _suggested(rates, smoothed), blew_up)


def _smoothed(losses: Sequence[float]) -> list[float]:
    windows = [losses[max(0, at - WIDTH) : at + WIDTH + 1] for at in range(len(losses))]
    return [sum(window) / len(window) for window in windows]


def _suggested(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """The rate at which the smoothed loss has first done `FALL` of its fall, to two digits."""
    low = min(smoothed)
    if low >= smoothed[0]:
        raise GroundupError(
            "the loss did not fall at any learning rate", do="begin lower, end higher, or take more steps"
        )
    fallen = smoothed[0] - FALL * (smoothed[0] - low)
    return float(f"{next(rate for rate, loss in zip(rates, smoothed, strict=True) if loss <= fallen):.2g}")


def write_csv(found: RangeTest, path: Path) -> None:
    """Columns `learning_rate`, `loss`, `smoothed_loss`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["learning_rate", "loss", "smoothed_loss"])
        writer.writerows(zip(found.rates, found.losses, found.smoothed, strict=True))


def plot(found: RangeTest, rows: int = 24, width: int = 48) -> str:
    """The smoothed loss over the rate as lines of text, the lowest rate first; the suggested one has an arrow."""
    shown = sorted({round(at * (len(found.rates) - 1) / (rows - 1)) for at in range(rows)})
    low, high = min(found.smoothed), max(found.smoothed)
    nearest = min(shown, key=lambda at: abs(found.rates[at] / found.suggested - 1))
    lines = []
    for at in shown:
        bar = "#" * (1 + round((width - 1) * (found.smoothed[at] - low) / ((high - low) or 1.0)))
        mark = "  <- about here" if at == nearest else ""
        lines.append(f"{found.rates[at]:>8.1e}  {found.smoothed[at]:>7.3f}  {bar}{mark}")
    return "\n".join(lines)
