"""Pretraining through the training loop: two processes write the metrics of one, and end with its weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ranks
import tiny
from groundup.artifacts import read_metrics
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan, train
from groundup.training.pretraining import Pretraining

STEPS, LENGTH = 6, 8
WATCHED = ("loss", "gradient_norm", "learning_rate", "tokens", "heldout_loss")


def trained(degrees: dict[str, Any], folder: Path, ema: float | None) -> tuple[dict[str, float], dict[str, Tensor]]:
    """(held-out figures, weights in the end)."""
    tokens = [np.random.default_rng(seed).integers(0, 61, count) for seed, count in ((0, 301), (1, 121))]
    objective = Pretraining(
        SampleStream(TokenShard.of([tokens[0]]), LENGTH, seed=4),
        Windows(TokenShard.of([tokens[1]]), LENGTH),
        batch_tokens=96,
        accumulate=2,
    )
    config = LoopConfig(parallel=ParallelConfig(**degrees), warmup=0.3, clip_norm=0.5, ema=ema)
    engine = engine_for(tiny.model(spread=0.1), config, "fp32")
    assert isinstance(engine, MeshEngine if degrees else SingleDevice)
    figures = train(
        engine,
        objective,
        TrainPlan(STEPS, 1e-2, config, validate_every=2),
        title="pretrain",
        checkpoints=Checkpoints(folder, config, config.parallel),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
    )
    with engine.whole() as model:
        return figures, {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("degrees", [{"dp_shard": 2}, {"dp_replicate": 2}, {"tp": 2}], ids=["fsdp", "ddp", "tp"])
def test_two_processes_train_as_one(degrees: dict[str, Any], tmp_path: Path) -> None:
    ema = 0.9 if degrees == {"dp_shard": 2} else None
    figures, weights = trained({}, tmp_path / "one", ema)
    results = ranks.run(2, trained, degrees, tmp_path / "two", ema)
    expected, rows = (read_metrics(tmp_path / folder / "metrics.jsonl") for folder in ("one", "two"))
    assert [row["step"] for row in rows] == [row["step"] for row in expected] == list(range(1, STEPS + 1))
    for ours, theirs in zip(rows, expected, strict=True):
        watched = {name: theirs[name] for name in WATCHED if name in theirs}
        assert {name: ours[name] for name in watched} == pytest.approx(watched, abs=1e-5)
    assert sum("heldout_loss" in row for row in rows) == STEPS // 2
    for validation, whole in results:
        assert validation == pytest.approx(figures, abs=1e-5)
        assert whole.keys() == weights.keys()
        assert all(torch.allclose(whole[name], weight, atol=5e-5) for name, weight in weights.items())
