"""What a plan said before a stage ran, next to what it came to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from groundup.artifacts import Artifact, durable
from groundup.planning.advice import duration, short, size
from groundup.planning.forecast import StagePlan

PARTS = ("seconds", "memory_bytes", "disk_bytes", "tokens", "steps", "flops")
COUNTED = {"pretrain": ("tokens", "steps"), "sft": ("steps",), "reward": ("steps",), "dpo": ("steps",)}  # in figures


@dataclass(frozen=True)
class Comparison:
    """A predicted and the measured figure."""

    stage: str
    what: str
    """One of `PARTS`."""
    predicted: float
    actual: float

    @property
    def ratio(self) -> float:
        """Actual over predicted: above 1 it took more than planned."""
        return self.actual / self.predicted if self.predicted else float("inf")


def expected(stage: StagePlan) -> dict[str, float]:
    """What is written down of a stage's plan when it starts; figures that it doesn't have are omitted, and the disk is
    that of the result, which can be measured afterwards."""
    found = {part: float(getattr(stage, part)) for part in PARTS} | {"disk_bytes": float(stage.result_bytes)}
    return {part: value for part, value in found.items() if value}


def compare(predicted: Mapping[str, Mapping[str, float]], artifacts: Mapping[str, Artifact]) -> list[Comparison]:
    """Every figure that was both predicted and measured, in the order of the artifacts.

    Args:
        predicted: by stage, as `expected` gave it.
    """
    rows = []
    for stage, artifact in artifacts.items():
        actual = _actual(artifact)
        for what, value in predicted.get(stage, {}).items():
            if what in actual:
                rows.append(Comparison(stage, what, value, actual[what]))
    return rows


def summary(rows: Iterable[Comparison]) -> str:
    """`time 12 minutes (predicted 10 minutes), memory 1.5 GB (1.6 GB), ...`; "" where nothing was predicted."""
    by_part = {part: [row for row in rows if row.what == part] for part in PARTS}
    parts = []
    for name, part, joined, shown in (
        ("time", "seconds", sum, duration),
        ("memory", "memory_bytes", max, size),
        ("disk", "disk_bytes", sum, size),
        ("tokens read", "tokens", sum, short),
    ):
        if found := by_part[part]:
            actual, planned = joined(row.actual for row in found), joined(row.predicted for row in found)
            parts.append(f"{name} {shown(actual)} ({shown(planned)})")
    return f"Measured (predicted): {', '.join(parts)}" if parts else ""


def _actual(artifact: Artifact) -> dict[str, float]:
    measured, figures = artifact.manifest.measured, artifact.figures
    found: dict[str, Any] = {"seconds": measured.seconds, "memory_bytes": measured.peak_rss_bytes}
    found["disk_bytes"] = durable.folder_bytes(artifact.path)
    found |= {name: figures[name] for name in COUNTED.get(artifact.stage, ()) if name in figures}
    if artifact.stage == "tokens":
        found["tokens"] = figures.get("train", {}).get("tokens", 0)
    return {name: float(value) for name, value in found.items()}
