"""Compilation as the blueprint asks for it: where it may be, what the trial decides, and exact resuming."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import ranks
import tiny
from groundup.errors import GroundupError
from groundup.model.decoder import Block
from groundup.parallel.compilation import SINCE, compile_blocks
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.engine import Engine
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.training import compilation
from groundup.training.compilation import FOUND, compile_training
from groundup.training.configuration import LoopConfig, PretrainConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan
from groundup.training.objective import Objective
from resuming import assert_survives_a_kill_after_each_step, pretraining

COMPILES = pytest.mark.skipif(torch.__version__ < SINCE, reason=f"compiled layers need PyTorch {SINCE}")


def asked(engine: Engine, keep: Path, compile: bool | str) -> tuple[bool, bool]:
    """(what is said, what is done)."""
    config = PretrainConfig.model_validate({"compile": compile})
    said = compile_training(engine, pretraining(), config, keep, Silent())
    return said, any("forward" in vars(module) for module in engine.model.modules() if isinstance(module, Block))


@COMPILES
def test_as_it_is_asked_for(tmp_path: Path) -> None:
    assert asked(tiny.engine(tiny.model()), tmp_path, False) == (False, False)
    assert asked(tiny.engine(tiny.model()), tmp_path, True) == (True, True)


@COMPILES
@pytest.mark.parametrize(("times", "taken"), [(1.5, True), (1.01, False)])
def test_a_trial_decides_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: float, taken: bool) -> None:
    """A resumed stage does not repeat the trial, so that it computes what it computed before."""
    tried: list[Any] = []

    def gain(block: Block, arguments: list[Any]) -> float:
        tried.append([part.shape for part in (arguments[0], *arguments[1])])
        return times

    monkeypatch.setattr(compilation, "gain", gain)
    engine, drawn = tiny.engine(tiny.model()), torch.get_rng_state()
    assert asked(engine, tmp_path, "measure") == (taken, taken)
    assert torch.equal(torch.get_rng_state(), drawn)  # or a run killed before its first checkpoint would be another one
    assert (tmp_path / FOUND).exists()
    monkeypatch.setattr(compilation, "gain", None)
    assert asked(tiny.engine(tiny.model()), tmp_path, "measure") == (taken, taken)
    assert tried == [[(4, 8, 32), (1, 1, 8, 8), (1, 1, 8, 8)]]


def asked_together(keep: Path) -> tuple[bool, bool]:
    config = PretrainConfig(compile="measure", parallel=ParallelConfig(dp_shard=2))
    return asked(engine_for(tiny.model(), config, "fp32"), keep, "measure")


@COMPILES
def test_processes_that_share_the_weights_decide_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the trial of one of them, on a layer of its own."""

    def gain(block: Block, arguments: list[Any]) -> float:
        assert torch.distributed.get_rank() == 0
        block(*arguments)[0].sum().backward()
        return 1.5

    monkeypatch.setattr(compilation, "gain", gain)
    assert ranks.run(2, asked_together, tmp_path) == [(True, True)] * 2


@pytest.mark.parametrize(
    ("parallel", "said"),
    [
        ({"tp": 2}, "compile doesn't go with tp"),
        ({"cp": 2}, "compile doesn't go with cp"),
        ({"engine": "deepspeed", "dp_shard": 2}, "compile doesn't go with deepspeed"),
        ({"pp": 2, "schedule": "zero_bubble"}, "compile doesn't go with the schedule zero_bubble"),
    ],
)
def test_where_it_is_not_proven_it_is_refused(parallel: dict[str, Any], said: str) -> None:
    config = PretrainConfig(compile=True, parallel=ParallelConfig.model_validate(parallel))
    with pytest.raises(GroundupError, match=said):
        engine_for(tiny.model(), config, "fp32")


def test_a_fraction_of_the_activations_is_chosen_by_compiling() -> None:
    PretrainConfig(activation_checkpointing=0.5, compile=True)
    with pytest.raises(ValidationError, match="set compile to true"):
        PretrainConfig(activation_checkpointing=0.5, compile="measure")


@COMPILES
@pytest.mark.slow
def test_resuming_is_exact(tmp_path: Path) -> None:
    """Killed after every step, with dropout, whose numbers compiled code draws in its own way."""
    torch._dynamo.reset()
    config = LoopConfig()

    def make(seed: int) -> tuple[SingleDevice, Objective]:
        engine = tiny.engine(tiny.model(seed, resid_pdrop=0.2))
        engine.dropout = True
        compile_blocks(module for module in engine.model.modules() if isinstance(module, Block))
        return engine, pretraining()

    assert_survives_a_kill_after_each_step(make, tmp_path, TrainPlan(4, 1e-2, config, validate_every=2))
