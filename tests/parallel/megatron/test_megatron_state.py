"""One engine's state is restored exactly by another, whichever of them is Megatron's, and through any files."""

from pathlib import Path
from typing import Any

import megatron_curves as curves
import pytest
import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import snapshot
from groundup.parallel.megatron import torch_dist
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig

pytestmark = [pytest.mark.engines, curves.needs_megatron]

State = dict[str, Tensor]
EMA = {"ema": 0.9}
LAYOUTS: list[dict[str, Any]] = [{"tp": 2}, {"pp": 2, "schedule": "interleaved"}, {"dp_shard": 2}, {"cp": 2}]


def copied(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.fixture(scope="module")
def learnt() -> State:
    """Of one process, after three steps."""
    engine = curves.single(config=LoopConfig(**EMA))
    curves.train(engine, range(3))
    return copied(engine.state())


@pytest.fixture(scope="module")
def further(learnt: State) -> curves.Curve:
    """The two steps after that, in one process."""
    engine = curves.single(config=LoopConfig(**EMA))
    engine.restore(learnt)
    return curves.train(engine, range(3, 5))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_it_restores_a_single_process_exactly_and_continues(layout: Any, learnt: State, further: curves.Curve) -> None:
    """Weights, optimizer state, steps and averages; only the leader has to be given them."""

    def run() -> tuple[State, curves.Curve]:
        engine = curves.megatron(curves.model(seed=5), config=EMA, **layout)
        curves.train(engine, range(1))
        engine.restore(learnt if engine.leader else {})
        return copied(engine.state()), curves.train(engine, range(3, 5))

    (state, curve), *others = curves.run(2, run)
    assert curves.same(state, learnt)
    assert all(curves.furthest(found, further) < 1e-5 for _, found in [(state, curve), *others])


def test_a_single_process_takes_it_up_exactly() -> None:
    def run() -> tuple[State, curves.Curve]:
        engine = curves.megatron(config=EMA, tp=2)
        curves.train(engine, range(3))
        return copied(engine.state()), curves.train(engine, range(3, 5))

    (state, curve), _ = curves.run(2, run)
    single = curves.single(curves.model(seed=5), LoopConfig(**EMA))
    single.restore(state)
    assert curves.same(single.state(), state)
    assert curves.furthest(curves.train(single, range(3, 5)), curve) < 1e-5


def test_a_state_from_before_the_first_step_has_no_optimizer_state(learnt: State) -> None:
    fresh = {name: tensor for name, tensor in learnt.items() if name.startswith("model.")}

    def run() -> tuple[State, float]:
        engine = curves.megatron(dp_shard=2)
        curves.train(engine, range(2))
        engine.restore(fresh)
        return copied(engine.state()), curves.train(engine, range(3, 4))[0][0]

    single = curves.single()
    single.restore(fresh)
    expected = curves.train(single, range(3, 4))[0][0]
    (state, loss), _ = curves.run(2, run)
    assert curves.same(state, fresh)
    assert loss == pytest.approx(expected, abs=1e-6)


def test_another_optimizers_state_is_refused(learnt: State) -> None:
    strange = {name.replace("exp_avg_sq", "momentum"): tensor for name, tensor in learnt.items()}
    name = next(name for name in learnt if name.startswith("optimizer.step."))
    uneven = learnt | {name: torch.tensor(7.0)}

    def run() -> list[str]:
        engine, found = curves.megatron(config=EMA, tp=2), []
        for given in (strange, uneven):
            try:
                engine.restore(given)
            except GroundupError as error:
                found.append(str(error))
        return found

    for said in curves.run(2, run):
        assert "keeps optimizer.momentum." in said[0]
        assert "different numbers of steps" in said[1]


def save_and_continue(folder: Path, layout: dict[str, Any]) -> tuple[State, curves.Curve]:
    config = LoopConfig(**EMA)
    engine, checkpoints = curves.megatron(config=EMA, **layout), Checkpoints(folder, config, config.parallel)
    curves.train(engine, range(3))
    checkpoints.save(3, engine.snapshot(), {})
    checkpoints.finish()
    state = copied(engine.state())
    return state, curves.train(engine, range(3, 5))


def load_and_continue(folder: Path, layout: dict[str, Any]) -> tuple[State, curves.Curve]:
    engine = curves.megatron(curves.model(seed=5), config=EMA, **layout)
    saved = Checkpoints(folder, LoopConfig(**EMA)).load()
    assert saved is not None and saved.step == 3
    engine.load(saved.tensors)
    return copied(engine.state()), curves.train(engine, range(3, 5))


@pytest.mark.parametrize("saver", [{"tp": 2, "pp": 2}, {"tp": 2, "dp_shard": 2}], ids=str)
def test_a_sharded_checkpoint_is_restored_under_any_layout(saver: dict[str, Any], tmp_path: Path) -> None:
    """Each process writes what it holds; a single process, and other layouts, read it back bit for bit."""
    (state, curve), *_ = curves.run(4, save_and_continue, tmp_path, saver)
    single = curves.single(curves.model(seed=5), LoopConfig(**EMA))
    saved = Checkpoints(tmp_path, LoopConfig(**EMA)).load()
    assert saved is not None
    single.load(saved.tensors)
    assert curves.same(single.state(), state)
    assert curves.furthest(curves.train(single, range(3, 5)), curve) < 1e-5
    for layout in ({"pp": 2}, {"dp_shard": 2}):
        for rank, (found, onward) in enumerate(curves.run(2, load_and_continue, tmp_path, layout)):
            assert curves.same(found, state) or rank
            assert curves.furthest(onward, curve) < 1e-5


def test_the_parts_of_all_processes_make_up_the_state(tmp_path: Path) -> None:
    """A single process's snapshot of the same state has the same numbers at the same offsets."""

    def run() -> tuple[State, Any]:
        engine = curves.megatron(tp=2)
        curves.train(engine, range(1))
        return copied(engine.state()), engine.snapshot()

    (state, first), (_, second) = curves.run(2, run)
    assert first.keys() == second.keys() == snapshot(state).keys()
    for name, tensor in state.items():
        whole = torch.full(tensor.shape, torch.nan)
        for part in (first[name], second[name]):
            assert part.shape == tensor.shape
            block = tuple(slice(at, at + size) for at, size in zip(part.offsets, part.local.shape, strict=True))
            whole[block] = part.local
        assert torch.equal(whole, tensor), name


def write_native(folder: Path, layout: dict[str, Any]) -> State:
    engine = curves.megatron(**layout)
    curves.train(engine, range(2))
    engine.save_native(folder)  # type: ignore[attr-defined]
    return copied(engine.state())


def read_native(folder: Path, layout: dict[str, Any]) -> tuple[State, curves.Curve]:
    engine = curves.megatron(curves.model(seed=5), **layout)
    engine.load_native(folder)  # type: ignore[attr-defined]
    return copied(engine.state()), curves.train(engine, range(2, 4))


@pytest.mark.parametrize("writer", [{"tp": 2, "pp": 2}, {"tp": 2, "dp_shard": 2}], ids=str)
def test_megatrons_own_checkpoints_are_exact(writer: dict[str, Any], tmp_path: Path) -> None:
    """Read by plain PyTorch under our names, and restored under other layouts and optimizers, sharded or not."""
    folder = tmp_path / "native"
    state, *_ = curves.run(4, write_native, folder, writer)
    assert torch_dist.from_distributed_optimizer(folder) == ("dp_shard" in writer)
    plain = torch_dist.read(folder, curves.model().config)
    assert curves.same(plain, state)
    single = curves.single(curves.model(seed=5))
    single.restore(plain)
    onward = curves.train(single, range(2, 4))
    for layout in ({"pp": 2, "schedule": "interleaved"}, {"dp_shard": 2}):
        (found, curve), _ = curves.run(2, read_native, folder, layout)
        assert curves.same(found, state)
        assert curves.furthest(curve, onward) < 1e-5


def test_they_hold_no_average(tmp_path: Path) -> None:
    def run() -> str:
        try:
            curves.megatron(config=EMA).save_native(tmp_path / "native")  # type: ignore[attr-defined]
        except GroundupError as error:
            return str(error)
        return "saved"

    assert "hold no average" in curves.run(1, run)[0]


def test_files_are_read_stage_by_stage(tmp_path: Path) -> None:
    """A process reads the tensors of its own layers alone."""
    single = curves.single()
    curves.train(single, range(1))
    checkpoints = Checkpoints(tmp_path, LoopConfig())
    checkpoints.save(1, single.snapshot(), {})
    checkpoints.finish()
    saved = checkpoints.load()
    assert saved is not None

    def run() -> set[str]:
        engine, read = curves.megatron(pp=2), set[str]()
        plain = TensorFiles.tensor

        def watched(files: TensorFiles, name: str) -> Tensor:
            read.add(name)
            return plain(files, name)

        TensorFiles.tensor = watched  # type: ignore[method-assign]
        engine.load(saved.tensors)
        return {name.split(".")[3] for name in read if name.startswith("model.model.layers.")}

    assert curves.run(2, run) == [{"0", "1"}, {"2", "3"}]
