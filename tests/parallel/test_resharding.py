"""A checkpoint of any layout is gone on from under any other: what is read is what was saved, bit for bit, and the
curve is that of the run that never stopped."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint  # here, so that processes forked later need not import it each time
from torch import Tensor

import ranks
import tiny
from groundup.artifacts import read_metrics
from groundup.parallel.configuration import ParallelConfig
from groundup.progress import Silent
from groundup.training import adamw_8bit
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig, OptimizerConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan, train
from resuming import Cut, Every, KilledError, pretraining

LAYOUTS: dict[str, dict[str, Any]] = {
    "single": {},
    "FSDP": {"dp_shard": 2},
    "FSDP x TP": {"dp_shard": 2, "tp": 2},
    "PP x FSDP": {"pp": 2, "dp_shard": 2},
    "HSDP": {"dp_replicate": 2, "dp_shard": 2},
}
ENGINES: dict[str, dict[str, Any]] = {
    "ZeRO-3": {"engine": "deepspeed", "dp_shard": 2},
    "Megatron TP x PP": {"engine": "megatron", "tp": 2, "pp": 2},
}
ALL = LAYOUTS | ENGINES
STEPS, HALF = 4, 2
EPS = 1e-5  # AdamW's first steps turn the rounding of gradients near 0 into steps of full size otherwise
TOLERANCE = 1e-5  # of losses and norms, relative where above 1


@dataclass(frozen=True)
class Trained:
    """What the leader knows of a run."""

    curve: list[float]  # loss and gradient norm of each step, and the held-out losses
    said: list[str]
    begun_with: dict[str, Tensor]  # the state that was read, where one was
    ended_with: dict[str, Tensor]


class Loud(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def trained(folder: Path, layout: str, optimizer: str, until: int) -> Trained:
    """To the end, or to a kill before step `until`. A run that resumes begins with other weights: all that counts must
    come from the checkpoint."""
    parallel = ParallelConfig(**ALL[layout])
    rule = OptimizerConfig.model_validate({"name": optimizer, "eps": EPS})
    config = LoopConfig(warmup=0.3, accumulate=2, ema=0.8, parallel=parallel, optimizer=rule)
    saved, loud = Checkpoints(folder, config, config.parallel).load(), Loud()
    made = engine_for(tiny.model(99 if saved else 0), config, "fp32")
    begun_with = {}
    if saved:
        made.load(saved.tensors)
        begun_with = {name: tensor.clone() for name, tensor in made.state().items()}
    metrics = folder / f"metrics-{dist.get_rank() if dist.is_initialized() else 0}.jsonl"
    with suppress(KilledError):
        train(
            made,
            Cut(pretraining(), until),
            TrainPlan(STEPS, 2e-3, config, validate_every=2),
            title="test",
            checkpoints=Every(folder, 1, parallel),
            metrics_path=metrics,
            progress=loud,
        )
    rows = read_metrics(metrics) if made.leader else []
    curve = [row[name] for row in rows for name in ("loss", "gradient_norm", "heldout_loss") if name in row]
    return Trained(curve, loud.lines, begun_with, made.state())


def run(folder: Path, layout: str, optimizer: str = "adamw", until: int = -1) -> Trained:
    size = ParallelConfig(**ALL[layout]).processes
    if size == 1:
        return trained(folder, layout, optimizer, until)
    return ranks.run(size, trained, folder, layout, optimizer, until)[0]


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("whole"), "single")


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Trained]]:
    """The run under a layout that is killed half-way, and its folder."""

    @cache
    def half(layout: str) -> tuple[Path, Trained]:
        folder = tmp_path_factory.mktemp("half")
        return folder, run(folder, layout, until=HALF)

    return half


RING = list(zip(LAYOUTS, [*list(LAYOUTS)[1:], "single"], strict=True))
OTHERS = [(before, after) for before in LAYOUTS for after in LAYOUTS if (before, after) not in RING]


WITH_ENGINES = [*zip(["PP x FSDP", *ENGINES, "single"], [*ENGINES, "single", "ZeRO-3"], strict=True)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *RING,
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in OTHERS),
        *(pytest.param(*pair, marks=pytest.mark.engines) for pair in WITH_ENGINES),
    ],
)
def test_any_layout_resumes_from_any_other(
    before: str, after: str, whole: Trained, halves: Callable[[str], tuple[Path, Trained]], tmp_path: Path
) -> None:
    folder, half = halves(before)
    resumed = run(shutil.copytree(folder, tmp_path / "run"), after)
    assert same(resumed.begun_with, half.ended_with)
    assert resumed.curve == pytest.approx(whole.curve, rel=TOLERANCE, abs=TOLERANCE)
    assert resumed.ended_with.keys() == whole.ended_with.keys()
    warned = [line for line in resumed.said if "not be the same bit for bit" in line]
    assert len(warned) == (before != after)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor", "adamw_8bit"])
def test_two_processes_resume_bit_for_bit(optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adamw_8bit, "LEAST", 1)  # this model's matrices are small
    expected = run(tmp_path / "whole", "FSDP", optimizer)
    for until in (1, 2):
        run(tmp_path / "cut", "FSDP", optimizer, until)
    resumed = run(tmp_path / "cut", "FSDP", optimizer)
    assert resumed.curve == expected.curve
    assert same(resumed.ended_with, expected.ended_with)
