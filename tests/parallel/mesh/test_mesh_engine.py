"""What a step promises holds for all processes together: they agree, and one that goes wrong changes nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ranks
import tiny
from curves import Training, loss, steps, weight
from groundup.alignment.answers import Answer
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.rankings import ranked
from groundup.alignment.reward import RewardModel, RewardObjective
from groundup.alignment.sft import Lesson, SftObjective
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.engine import DivergedError, Engine
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.mesh.process_group import join, leave
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch

PAIRS: list[dict[str, Any]] = [{"dp_replicate": 2}, {"dp_shard": 2}, {"tp": 2}]
IDS = ["ddp", "fsdp", "tp"]


def engine(degrees: dict[str, Any], model: nn.Module) -> MeshEngine:
    return MeshEngine(model, make_optimizer(OptimizerConfig()), ParallelConfig(**degrees), "fp32")


def goes_wrong(degrees: dict[str, Any]) -> tuple[str, bool, bool, bool]:
    """A loss that isn't finite in one process alone; then a step that isn't accepted."""
    made, training = engine(degrees, Training().model()), Training()
    steps(made, training, [0])
    before = made.state()
    batches = training.batches(1, made.data_rank)

    def bad(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        value, statistics = loss(model, batch)
        return value * (float("nan") if not made.leader and batch is batches[1] else 1.0), statistics

    weights = [weight(batch) for batch in batches]
    with pytest.raises(DivergedError) as error:
        made.train_step(batches, weights, bad, 1e-2, 1.0, where="step 2")
    seen: list[tuple[float, float]] = []

    def refuse(mean: float, norm: float) -> bool:
        seen.append((mean, norm))
        return False

    result = made.train_step(batches, weights, loss, 1e-2, 1.0, accept=refuse)
    after = made.state()
    same = all(torch.equal(before[name], after[name]) for name in before)
    return str(error.value), same, result.taken, seen == [(result.loss, result.gradient_norm)]


@pytest.mark.parametrize("degrees", PAIRS, ids=IDS)
def test_what_goes_wrong_in_one_process_stops_all_and_changes_nothing(degrees: dict[str, Any]) -> None:
    for message, same, taken, asked in ranks.run(2, goes_wrong, degrees):
        assert message.startswith("step 2: the loss is") and "nan" in message
        assert same
        assert not taken
        assert asked


def flags() -> list[bool]:
    made = engine({"dp_replicate": 2}, tiny.model())
    return [made.any(False), made.any(made.leader), made.any(not made.leader), made.any(True)]


def test_a_flag_raised_anywhere_is_raised_everywhere() -> None:
    assert ranks.run(2, flags) == [[False, True, True, True]] * 2


def answers(count: int, seed: int) -> list[Answer]:
    """Of unequal lengths, so that rows are padded and tokens per process differ."""
    ids = tiny.ids(count, 20, seed).tolist()
    return [Answer(row[: 3 + i % 4], row[4 : 7 + 2 * (i % 5)]) for i, row in enumerate(ids)]


def objective(kind: str) -> SftObjective | RewardObjective | PreferenceObjective:
    drawing = {"batch": 8, "accumulate": 2, "pad": 0, "seed": 3}
    if kind == "sft":
        return SftObjective([Lesson([answer]) for answer in answers(20, 0)], answers(7, 1), **drawing)
    pairs = list(zip(answers(20, 0), answers(20, 2), strict=True))
    if kind == "reward":
        return RewardObjective(ranked((pair, None) for pair in pairs[5:]), pairs[:5], centering=0.01, **drawing)
    known = tiny.referred(pairs, tiny.model(seed=9))
    return PreferenceObjective(known[5:], known[:5], beta=0.1, label_smoothing=0.0, **drawing)


def model_for(kind: str) -> nn.Module:
    made = tiny.model(spread=0.1, qk_norm=True)
    return RewardModel(made) if kind == "reward" else made


def aligned(made: Engine, kind: str) -> list[float]:
    """Losses, norms and statistics of four steps, and of validation."""
    task, found = objective(kind), []
    for step in range(4):
        batches = task.batches(step, made.data_rank)
        result = made.train_step(batches, [task.weight(batch) for batch in batches], task.loss, 1e-2, 0.5)
        found += [result.loss, result.gradient_norm, *result.statistics.values()]
    return [*found, *task.validate(made).values()]


def aligned_in_a_mesh(degrees: dict[str, Any], kind: str) -> list[float]:
    return aligned(engine(degrees, model_for(kind)), kind)


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo"])
@pytest.mark.parametrize("degrees", PAIRS, ids=IDS)
def test_objectives_of_alignment_learn_as_in_one_process(degrees: dict[str, Any], kind: str) -> None:
    one = SingleDevice(model_for(kind), make_optimizer(OptimizerConfig()), torch.device("cpu"), "fp32")
    expected = aligned(one, kind)
    for found in ranks.run(2, aligned_in_a_mesh, degrees, kind):
        assert found == pytest.approx(expected, abs=2e-5, rel=2e-5)


def test_a_layout_is_of_as_many_processes_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    join(ParallelConfig())  # one process: nothing to do
    with pytest.raises(GroundupError, match=r"4 processes, and this is a single one .*torchrun --nproc-per-node 4"):
        join(ParallelConfig(dp_shard=4))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(GroundupError, match="layout is of 4 processes, the job has 2; start 4 processes"):
        join(ParallelConfig(dp_shard=4))
    with pytest.raises(GroundupError, match="layout is of 1 processes, the job has 2"):
        join(ParallelConfig())
    leave()  # nothing was joined
