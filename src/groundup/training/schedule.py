"""The learning rate of each step."""

import math
from typing import Protocol


class ScheduleConfig(Protocol):
    """What of a training section gives the curve its shape."""

    @property
    def schedule(self) -> str: ...
    @property
    def warmup(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def final_learning_rate(self) -> float: ...


def learning_rate(step: int, steps: int, peak: float, config: ScheduleConfig) -> float:
    """Linear from 0 over the first `warmup` share of the steps, then as `schedule` says down to `final * peak`.

    `cosine`: half a cosine. `linear`: a straight line. `wsd`: the peak until the last `decay` share of all steps, then
    a straight line (warm-up, stable, decay: MiniCPM, arXiv 2404.06395). `constant`: the peak to the end.

    `step` counts from 0. Every step learns: step 0 has its share of the rise, and the curve would reach its end one
    step after the last.
    """
    rising = max(1, round(steps * config.warmup)) if config.warmup else 0
    if step < rising:
        return peak * (step + 1) / rising
    falling = steps - rising
    if config.schedule == "wsd":
        falling = min(falling, max(1, round(steps * config.decay)))
    share = max(0.0, (step - (steps - falling)) / falling)
    final = config.final_learning_rate
    match config.schedule:
        case "cosine":
            return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share)))
        case "linear" | "wsd":
            return peak * (final + (1 - final) * (1 - share))
        case "constant":
            return peak
    raise ValueError(f"no schedule {config.schedule}")
