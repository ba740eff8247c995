"""Replica groups: what is refused before any of them waits for another. That they train is in `tests/whole`."""

from datetime import timedelta
from typing import Any

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.parallel.replicas import LIGHTHOUSE, ReplicaGroup
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import LoopConfig, OptimizerConfig, PretrainConfig
from groundup.training.engines import engine_for
from groundup.training.optimizer import make_optimizer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parallel": {"dp_shard": 2}}, "pretrain.parallel: .* are of one process each"),
        ({"parallel": {"engine": "deepspeed"}}, "pretrain.parallel: .* are of one process each"),
        ({"guard": {"skip_spikes": True}}, "pretrain.guard: .* skip no steps"),
        ({"guard": {"on_divergence": "return"}}, "pretrain.guard: .* skip no steps"),
    ],
)
def test_what_groups_cannot_do_is_refused(changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIGHTHOUSE, "http://localhost:1")
    with pytest.raises(GroundupError, match=said):
        engine_for(tiny.model(), PretrainConfig(**changes), "fp32")


def test_only_pretraining_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIGHTHOUSE, "http://localhost:1")
    assert type(engine_for(tiny.model(), LoopConfig(), "fp32")) is SingleDevice


@pytest.mark.engines
def test_a_lighthouse_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchft")
    monkeypatch.setenv(LIGHTHOUSE, "http://127.0.0.1:1")
    engine = ReplicaGroup(
        tiny.model(),
        make_optimizer(OptimizerConfig()),
        torch.device("cpu"),
        "fp32",
        timeout=timedelta(seconds=2),
    )
    with pytest.raises(GroundupError, match=r"TORCHFT_LIGHTHOUSE=http://127.0.0.1:1.*start torchft_lighthouse"):
        engine.begin(0)
