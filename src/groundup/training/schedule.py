"""The learning rate of each step."""

import math

from groundup.training.configuration import ScheduleConfig


def learning_rate(step: int, steps: int, peak: float, config: ScheduleConfig) -> float:
    """Linear from 0 over the first `warmup` of the steps, then down to `final_learning_rate * peak`.

    `cosine`: half a cosine. `linear`: a straight line. `wsd`: the peak until the last `decay` of all steps, then a
    straight line (warm-up, stable, decay: MiniCPM, arXiv 2404.06395). `constant`: the peak to the end.

    Every step learns: the first one is already above 0, and the final value is reached one step after the last. From
    there on it stays.

    Args:
        step: counted from 0.
        steps: of the whole training.
        peak: the highest rate.
        config: the shape of the curve; its `learning_rate` is not read.

    >>> from groundup.training import ScheduleConfig
    >>> linear = ScheduleConfig(schedule="linear", warmup=0.25)
    >>> [round(learning_rate(step, 8, 1.0, linear), 2) for step in range(9)]
    [0.5, 1.0, 1.0, 0.83, 0.67, 0.5, 0.33, 0.17, 0.0]
    """
    rising = max(1, round(steps * config.warmup)) if config.warmup else 0
    if step < rising:
        return peak * (step + 1) / rising
    falling = steps - rising
    if config.schedule == "wsd":
        falling = min(falling, max(1, round(steps * config.decay)))
    progress = min(1.0, max(0.0, (step - (steps - falling)) / falling)) if falling else 1.0
    final = config.final_learning_rate
    match config.schedule:
        case "cosine":
            return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
        case "linear" | "wsd":
            return peak * (final + (1 - final) * (1 - progress))
        case "constant":
            return peak
