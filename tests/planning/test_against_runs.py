"""A plan's memory against what runs took: `benchmarks/results/forecast.json`, by `make bench NAME=forecast`."""

import json
from pathlib import Path

import pytest

from benchmarks.forecast import blueprint_of
from groundup.planning.estimate import plan
from groundup.planning.machine import Machine

ROWS = json.loads(Path("benchmarks/results/forecast.json").read_text(encoding="utf-8"))
MEASURED_ON = Machine(cores=2, core_flops=9e10, bf16=True, memory=None, disk=None, compiles_fp32=True)
MEMORY = [row for row in ROWS if row["metric"] == "memory"]


@pytest.mark.parametrize("case", sorted({row["case"].partition(",")[0] for row in MEMORY}))
def test_memory_of_every_stage_is_within_a_tenth(case: str) -> None:
    """By today's formulas, whatever those of the day of the measurement said."""
    size, precision = case.split()
    planned = plan(blueprint_of(size, precision).blueprint, MEASURED_ON)
    rows = [row for row in MEMORY if row["case"].startswith(f"{case},")]
    measured = {row["case"].rpartition(" ")[2]: row["peer"] for row in rows}
    predicted = {stage: planned.stage(stage).memory_bytes / 2**20 for stage in measured}
    assert predicted == pytest.approx(measured, rel=0.1)


def test_parameters_are_exact() -> None:
    rows = [row for row in ROWS if row["metric"] == "parameters"]
    assert rows and all(row["ours"] == row["peer"] for row in rows)
