"""A run that is cut at any step and resumed is the uninterrupted one bit for bit, whatever holds state in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import Statistics
from groundup.parallel.single_device import SingleDevice
from groundup.training import adamw_8bit, guard
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import GuardConfig, LoopConfig, OptimizerConfig
from groundup.training.loop import TrainPlan
from groundup.training.objective import Objective
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch
from resuming import Outcome, assert_survives_a_kill_after_each_step, pretraining

DROPOUT = {"attention_dropout": 0.1, "resid_pdrop": 0.2, "embd_pdrop": 0.1}


def resumed(folder: Path, model: dict[str, Any], objective: Objective, **settings: Any) -> Outcome:
    """The uninterrupted run that all resumed ones were equal to."""
    config = LoopConfig.model_validate({"warmup": 0.3} | settings)

    def make(seed: int) -> tuple[SingleDevice, Objective]:
        rule = make_optimizer(config.optimizer)
        engine = SingleDevice(tiny.model(seed, **model), rule, torch.device("cpu"), "fp32", config.ema)
        engine.dropout = True
        return engine, objective

    return assert_survives_a_kill_after_each_step(make, folder, TrainPlan(6, 1e-2, config, validate_every=2))


@pytest.mark.parametrize("name", ["adamw", "muon", "adafactor", "adamw_8bit"])
def test_every_optimizer(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an average of the weights, a schedule that turns twice, and dropout."""
    monkeypatch.setattr(adamw_8bit, "LEAST", 1)  # this model's matrices are small
    optimizer = OptimizerConfig.model_validate({"name": name})
    plain = resumed(tmp_path / "plain", {}, pretraining(), optimizer=optimizer, ema=0.8, schedule="wsd", decay=0.4)
    state = {key.split(".")[1] for key in plain.tensors if key.startswith("optimizer.")}
    assert (
        state
        == {
            "adamw": {"step", "exp_avg", "exp_avg_sq"},
            "muon": {"step", "exp_avg", "exp_avg_sq", "momentum"},
            "adamw_8bit": {"step", "exp_avg", "exp_avg_sq"},
            "adafactor": {"step", "row_var", "col_var", "variance"},
        }[name]
    )
    assert plain.tensors["average.steps"] == 6
    dropped = resumed(tmp_path / "dropout", DROPOUT, pretraining(), optimizer=optimizer)
    assert dropped.rows[0]["loss"] != plain.rows[0]["loss"]


def spiking() -> Objective:
    """Its loss is ten times as high in step 3, counted from 0."""
    made, now = pretraining(), [-1]
    batches, loss = made.batches, made.loss

    def noted(step: int, data_rank: DataRank) -> Sequence[TokenBatch]:
        now[0] = step
        return batches(step, data_rank)

    def spiked(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
        value, statistics = loss(model, batch)
        return value * (10 if now[0] == 3 else 1), statistics

    made.batches, made.loss = noted, spiked  # type: ignore[method-assign]
    return made


def test_the_guard_against_spikes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides by the losses of earlier steps, which a resumed run must still know."""
    monkeypatch.setattr(guard, "WINDOW", 3)
    whole = resumed(tmp_path, {}, spiking(), guard=GuardConfig(skip_spikes=True))
    assert [row["step"] for row in whole.rows if row.get("skipped")] == [4]


def test_losing_the_random_numbers_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoints, "restore_random_state", lambda *_: None)
    with pytest.raises(AssertionError):
        resumed(tmp_path, DROPOUT, pretraining())
