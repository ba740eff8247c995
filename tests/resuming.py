"""Runs that are cut after any step and resumed, compared with the run that never was cut."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groundup.artifacts import read_metrics
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import CheckpointConfig, LoopConfig
from groundup.training.loop import TrainPlan, train
from groundup.training.objective import Objective
from groundup.training.pretraining import Pretraining
from groundup.training.telemetry import MEASURED


def pretraining() -> Pretraining:
    """Sequences of 8 tokens, in batches of 8 in 2 micro-batches."""
    read, held = (TokenShard.of([np.random.default_rng(count).integers(0, 61, count)]) for count in (401, 60))
    return Pretraining(SampleStream(read, 8, seed=4), Windows(held, 8), batch_tokens=64, accumulate=2)


class KilledError(Exception):
    """A kill: nothing catches it."""


class Every(Checkpoints):
    """A checkpoint after every `period` steps rather than seconds."""

    def __init__(self, folder: Path, period: int, parallel: ParallelConfig | None = None) -> None:
        super().__init__(folder, CheckpointConfig(checkpoint_seconds=1e9), parallel)
        self.period, self.asked = period, 0

    def due(self, step: int, validation: Mapping[str, float] | None = None) -> bool:
        self.asked += 1
        return self.asked % self.period == 0


@dataclass(frozen=True)
class Outcome:
    """All that a run leaves except for measured times."""

    tensors: dict[str, Tensor]
    rows: list[dict[str, Any]]
    figures: dict[str, float]

    def equals(self, other: "Outcome") -> bool:
        """Bit for bit."""
        same = self.tensors.keys() == other.tensors.keys() and all(
            torch.equal(tensor, other.tensors[name]) for name, tensor in self.tensors.items()
        )
        return same and self.rows == other.rows and self.figures == other.figures


def outcome(tensors: dict[str, Tensor], metrics: Path, figures: dict[str, float]) -> Outcome:
    rows = [{name: value for name, value in row.items() if name not in MEASURED} for row in read_metrics(metrics)]
    return Outcome({name: tensor.clone() for name, tensor in tensors.items()}, rows, figures)


class Cut:
    """An objective that is killed when it is asked for the batches of step `at`."""

    def __init__(self, objective: Objective, at: int) -> None:
        self.objective, self.at = objective, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> Any:
        if step == self.at:
            raise KilledError
        return self.objective.batches(step, data_rank)


PLAN = TrainPlan(steps=6, learning_rate=1e-2, config=LoopConfig(warmup=0.3), validate_every=2)


Make = Callable[[int], tuple[SingleDevice, Objective]]  # from a seed of the weights alone


def run(make: Make, folder: Path, period: int, at: int = -1, plan: TrainPlan = PLAN) -> Outcome:
    """Train in `folder` to the end, or to the kill before step `at`.

    Where there is a checkpoint, weights and random numbers start differently: everything must come from it.
    """
    seed = 99 if any(folder.glob("checkpoint-*")) else 0
    torch.manual_seed(seed)
    engine, objective = make(seed)
    figures = train(
        engine,
        Cut(objective, at),
        plan,
        title="test",
        checkpoints=Every(folder, period),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
    )
    return outcome(engine.state(), folder / "metrics.jsonl", figures)


def assert_resumes(make: Make, folder: Path) -> None:
    """A run that is cut before any step, and again two steps later, ends as the uninterrupted one."""
    expected = run(make, folder / "whole", 100)
    assert [row["step"] for row in expected.rows] == list(range(1, PLAN.steps + 1))
    for period in (1, 2):
        for at in range(PLAN.steps):
            cut = folder / f"{period}-{at}"
            for stop in {at, min(at + 2, PLAN.steps - 1)}:
                with suppress(KilledError):
                    run(make, cut, period, stop)
            assert run(make, cut, period).equals(expected), (period, at)
            assert run(make, cut, period).equals(expected)  # nothing is left to do, and nothing is done


def assert_survives_a_kill_after_each_step(make: Make, folder: Path, plan: TrainPlan) -> Outcome:
    """A run whose processes each live for a single step ends as the uninterrupted one, which is returned."""
    expected = run(make, folder / "whole", 100, plan=plan)
    for at in range(1, plan.steps):
        with suppress(KilledError):
            run(make, folder / "cut", 1, at, plan)
    assert run(make, folder / "cut", 1, plan=plan).equals(expected)
    return expected
