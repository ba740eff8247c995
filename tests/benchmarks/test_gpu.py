"""`make gpu` without a GPU: everything it would measure runs with small sizes; what fails is a row that says so.

Here the measurements are made in this process; that each has one of its own is tested in test_measure.py. Compiled
layers have tests of their own, and so has a whole run.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from benchmarks import gpu
from benchmarks.measure import Failure, Measurement


def here(function: Callable[..., Any], *arguments: Any, cores: int, limit: float) -> Measurement | Failure:
    """`peer_in_process` without the process."""
    try:
        return Measurement(json.loads(json.dumps(function(*json.loads(json.dumps(arguments))))), 0)
    except Exception as error:
        return Failure(str(error))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GROUNDUP_DEVICE", "cpu")
    monkeypatch.setattr(gpu, "peer_in_process", here)
    yield
    if dist.is_initialized():  # FSDP2's group of one
        dist.destroy_process_group()


def test_every_measurement_with_small_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["train", "decode", "attention", "engines"]
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "parts", without_compilation(gpu.parts))
    monkeypatch.setattr(sys, "argv", ["gpu", "--check", "--json", str(path), "--only", *names])
    gpu.main()
    record = json.loads(path.read_text())
    assert {"device", "date", "command", "figures"} <= record.keys()
    found = {(row["case"], row["metric"]): row for row in record["figures"]}
    assert all(row["value"] is None or row["value"] > 0 for row in record["figures"])
    measured = {case for (case, _), row in found.items() if row["value"] is not None}
    expected = {"train small", "train small, FSDP2", "train small, activation checkpointing full"}
    expected |= {f"{verb} small, {rows} at once" for verb in ("decode", "roll out") for rows in (1, 3)}
    expected |= {f"attention, {kind}" for kind in ("causal", "sliding window", "documents")}
    assert expected <= measured
    missing = {case: row["failure"] for (case, _), row in found.items() if row["value"] is None}
    assert missing.keys() <= {"train small, DeepSpeed ZeRO-3", "train small, Megatron"}, missing


def without_compilation(parts: Callable[[bool, Path], list[gpu.Part]]) -> Callable[[bool, Path], list[gpu.Part]]:
    def fewer(small: bool, folder: Path) -> list[gpu.Part]:
        return [
            gpu.Part(part.name, [one for one in part.measurements if "compiled" not in one[0]])
            for part in parts(small, folder)
        ]

    return fewer


def test_what_has_no_time_left_or_fails_is_a_row() -> None:
    wanted = [gpu.Part("one", [("broken", lambda: Failure("out of memory")), ("fine", lambda: {"speed": 2.0})])]
    rows = list(gpu.measure(wanted, time.monotonic() + 60))
    assert [(row.case, row.value, row.unit, row.failure) for row in rows] == [
        ("broken", None, "", "out of memory"),
        ("fine", 2.0, "tokens/s", ""),
    ]
    assert {row.failure for row in gpu.measure(wanted, time.monotonic() - 1)} == {"the time was up"}
