"""What a difference between two corpora, measured at small compute, will be at large compute.

    difference = c0 + c1 log C          least squares over the rungs

with the interval of a single further rung, by Student's t: it holds the luck of a run besides the line's own. Small
models mostly rank data as large ones do (DataDecide, arXiv 2504.11393), though not always.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from groundup.planning.ladder import Rung
from groundup.planning.scaling import student
from groundup.planning.study import Spread


class _Interval(Protocol):
    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class ComparedCorpora(Protocol):
    """One rung's two models (`evaluation.comparing.corpora`, whose room needs torch)."""

    @property
    def bits(self) -> tuple[float, float]: ...
    @property
    def difference(self) -> _Interval: ...
    @property
    def documents(self) -> int: ...


def forecast(flops: Sequence[float], differences: Sequence[float], target: float) -> Spread:
    """The difference at `target` FLOPs.

    Raises:
        ValueError: fewer than three rungs, or all of one budget.
    """
    x, y = np.log(np.asarray(flops, float)), np.asarray(differences, float)
    if len(x) < 3 or np.ptp(x) == 0:
        raise ValueError("a forecast needs at least three rungs, of two budgets")
    around = x - x.mean()
    slope = float(around @ y / (around @ around))
    left = y - y.mean() - slope * around
    freedom = len(x) - 2
    deviation = float(np.sqrt(left @ left / freedom))
    at = np.log(target) - x.mean()
    value = float(y.mean() + slope * at)
    wider = float(np.sqrt(1 + 1 / len(x) + at**2 / (around @ around)))
    reach = student(freedom) * deviation * wider
    return Spread(value, value - reach, value + reach)


def middle_rungs(rungs: Sequence[Rung]) -> tuple[Rung, ...]:
    """Of each budget the two middle sizes: near the best ones, and enough of them to see the luck of a run."""
    by_budget: dict[int, list[Rung]] = {}
    for rung in rungs:
        if not rung.heldout:
            by_budget.setdefault(rung.budget, []).append(rung)
    return tuple(one for each in by_budget.values() for one in each[max(0, len(each) // 2 - 1) :][:2])


def data_verdict(rungs: Sequence[Rung], found: Sequence[ComparedCorpora], far: Spread, target: float) -> list[str]:
    """What was found, as sentences: the largest budget's differences, then the forecast."""
    last = [one for rung, one in zip(rungs, found, strict=True) if rung.budget == rungs[-1].budget]
    each = ", ".join(
        f"{one.difference.mean:+.4f} [{one.difference.low:+.4f}, {one.difference.high:+.4f}]" for one in last
    )
    return [
        f"bits per byte of {last[-1].documents:,} held-out documents that both sides have, second less first, at the "
        f"largest budget: {each}; below 0 the second side's documents teach more",
        f"forecast at {target:.2g} FLOPs: {far.value:+.4f} [{far.low:+.4f}, {far.high:+.4f}], {_decided(far)}",
    ]


def _decided(far: Spread) -> str:
    if far.high < 0:
        return "so take the second side"
    if far.low > 0:
        return "so keep the first side"
    return "so this ladder does not decide between them"


def as_json(
    rungs: Sequence[Rung], found: Sequence[ComparedCorpora], far: Spread, target: float, sentences: Sequence[str]
) -> dict[str, Any]:
    """Everything for programs."""
    rows = [
        asdict(rung)
        | {"flops": rung.flops, "bits_per_byte": list(one.bits), "documents": one.documents}
        | {"difference": [one.difference.mean, one.difference.low, one.difference.high]}
        for rung, one in zip(rungs, found, strict=True)
    ]
    return {"rungs": rows, "forecast": asdict(far), "target_flops": target, "sentences": list(sentences)}
