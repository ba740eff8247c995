"""Spikes are skipped, divergence is named or returned from, and a stop saves: each time with the state it should."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.artifacts import read_metrics
from groundup.errors import GroundupError
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import GuardConfig, LoopConfig
from groundup.training.guard import WINDOW, SpikeGuard
from groundup.training.loop import TrainPlan, train
from groundup.training.objective import Objective
from groundup.training.optimizer import make_optimizer

SKIP = GuardConfig(skip_spikes=True, max_skips=2)


def filled(config: GuardConfig = SKIP) -> SpikeGuard:
    guard = SpikeGuard(config)
    for step in range(WINDOW):
        assert guard.accept(2.0 + 0.1 * (step % 2), 1.0 + 0.1 * (step % 3))
    return guard


def test_six_sigma() -> None:
    """The losses' mean is 2.05 and their deviation .05: 2.35 is the border."""
    assert filled().accept(2.349, 1.1)
    assert not filled().accept(2.351, 1.1)
    assert not filled().accept(2.0, 1.7)  # the norm's border is 1.1 + 6 x .0816
    assert filled().accept(0.1, 0.1)  # a fall is no spike
    assert filled(GuardConfig()).accept(1e9, 1e9)  # not asked for
    assert SpikeGuard(SKIP).accept(1e9, 1e9)  # nothing to compare with yet


def test_a_spike_does_not_count_as_usual_and_too_many_stop() -> None:
    guard = filled()
    assert not guard.accept(50.0, 1.0)
    assert not guard.accept(50.0, 1.0)
    with pytest.raises(GroundupError, match=r"3 steps in a row are spikes \(loss 50, .*usually 2\.05 and 1\.099\)"):
        guard.accept(50.0, 1.0)
    again = filled()
    again.accept(50.0, 1.0)
    assert again.accept(2.0, 1.0)
    assert again.skipped == 0


def test_its_state_is_all_of_it() -> None:
    guard, other = filled(), SpikeGuard(SKIP)
    guard.accept(50.0, 1.0)
    other.restore(guard.state())
    assert other.state() == guard.state()
    values = [(2.0 + 0.3 * (n % 5 == 0), 1.0) for n in range(300)]
    assert [guard.accept(*value) for value in values] == [other.accept(*value) for value in values]


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))


class Pull(Objective):
    """Pulls all weights towards 1; `factor(step)` multiplies the loss."""

    unit = "pulls"

    def __init__(self, factor: Callable[[int], float] = lambda step: 1.0) -> None:
        self.factor = factor

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[int]:
        return [step]

    def weight(self, batch: int) -> float:
        return 1

    def loss(self, model: nn.Module, batch: int) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(model, Line)
        return (model.weight - 1).square().sum() * self.factor(batch), {}

    def validate(self, engine: SingleDevice) -> dict[str, float]:
        return {"heldout_loss": self.loss(engine.model, 0)[0].item()}


def trained(
    folder: Path, steps: int, factor: Callable[[int], float] = lambda step: 1.0, **settings: Any
) -> tuple[SingleDevice, list[dict[str, Any]]]:
    config = LoopConfig.model_validate({"warmup": 0, "schedule": "constant", "checkpoint_seconds": 0} | settings)
    engine = SingleDevice(Line(), make_optimizer(config.optimizer), torch.device("cpu"), "fp32", config.ema)
    train(
        engine,
        Pull(factor),
        TrainPlan(steps, 0.01, config),
        title="pull",
        checkpoints=Checkpoints(folder, config),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
        documents=lambda step: [f"doc{step}.{number}" for number in range(10)],
    )
    return engine, read_metrics(folder / "metrics.jsonl")


def test_a_spike_moves_nothing_and_is_logged(tmp_path: Path) -> None:
    """The run with a spike at step 140 ends as one in which that step never was."""
    spiked, rows = trained(tmp_path / "a", 150, lambda step: 1e4 if step == 140 else 1.0, guard={"skip_spikes": True})
    assert [row["step"] for row in rows if row.get("skipped")] == [141]
    plain, _ = trained(tmp_path / "b", 149)
    assert torch.equal(spiked.model.weight, plain.model.weight)  # type: ignore[arg-type]


def test_divergence_names_the_step_and_its_documents(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"pull, step 5: .*nan.*diverged; it read doc4\.0, .*doc4\.7 and 2 more"):
        trained(tmp_path, 8, lambda step: float("nan") if step == 4 else 1.0)


def test_a_return_skips_the_step(tmp_path: Path) -> None:
    back, rows = trained(
        tmp_path / "a", 12, lambda step: float("inf") if step in (0, 7) else 1.0, guard={"on_divergence": "return"}
    )
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if row.get("diverged")] == [1, 8]
    plain, _ = trained(tmp_path / "b", 10)
    assert torch.equal(back.model.weight, plain.model.weight)  # type: ignore[arg-type]
    with pytest.raises(GroundupError, match="pull, step 4"):
        trained(tmp_path / "c", 12, lambda step: float("nan"), guard={"on_divergence": "return", "max_returns": 3})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_the_step_and_saves(tmp_path: Path, number: int) -> None:
    def stopping(step: int) -> float:
        if step == 5:
            os.kill(os.getpid(), number)
        return 1.0

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "a", 12, stopping, checkpoint_seconds=1e9)
    assert signal.getsignal(number) == before
    saved = Checkpoints(tmp_path / "a", LoopConfig()).load()
    assert saved is not None
    assert saved.step == 6
    resumed, rows = trained(tmp_path / "a", 12)
    plain, _ = trained(tmp_path / "b", 12)
    assert torch.equal(resumed.model.weight, plain.model.weight)  # type: ignore[arg-type]
    assert [row["step"] for row in rows] == list(range(1, 13))


@pytest.mark.parametrize("at", [0, 3, 11])
def test_the_average_of_the_weights_is_kept_and_resumed(tmp_path: Path, at: int) -> None:
    """Against the recurrence in float64, cut and resumed."""
    engine, _ = trained(tmp_path / "plain", 12)
    path = [torch.zeros(2, 2, dtype=torch.float64)]
    stepping = SingleDevice(Line(), make_optimizer(LoopConfig().optimizer), torch.device("cpu"), "fp32")
    for step in range(12):
        stepping.train_step([step], [1], Pull().loss, 0.01, 1.0)
        path.append(stepping.model.weight.detach().double().clone())  # type: ignore[operator, union-attr]
    assert torch.equal(path[-1].float(), engine.model.weight)  # type: ignore[arg-type]
    average = path[0]
    for step in range(1, 13):
        decay = min(0.7, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * path[step]

    def stopping(step: int) -> float:
        if step == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "a", 12, stopping, ema=0.7)
    resumed, _ = trained(tmp_path / "a", 12, ema=0.7)
    assert torch.allclose(resumed.model.weight.double(), average, atol=1e-6)  # type: ignore[operator, arg-type, union-attr]
