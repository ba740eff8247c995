"""The learning rate of each step."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Linear from 0 over the first `warmup` share of the steps, then half a cosine down to `final * peak`.

    `step` counts from 0. Every step learns: step 0 has its share of the rise, and the cosine would reach its end one
    step after the last.
    """
    rising = max(1, round(steps * warmup)) if warmup else 0
    if step < rising:
        return peak * (step + 1) / rising
    share = (step - rising) / (steps - rising)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share)))
