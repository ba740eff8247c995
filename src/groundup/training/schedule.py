"""The learning rate of each step."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: float, final: float) -> float:
    """Linear from 0 over the first `warmup` share of the steps, then half a cosine down to `final * peak`.

    `step` counts from 0; step 0 already learns (peak / warm-up steps), the last step is at the cosine's end.
    """
    rising = max(1, round(steps * warmup)) if warmup else 0
    if step < rising:
        return peak * (step + 1) / rising
    falling = max(1, steps - 1 - rising)
    share = min(1.0, (step - rising) / falling)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * share)))
