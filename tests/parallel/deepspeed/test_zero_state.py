"""One engine's state is restored exactly by another, whichever of them is under DeepSpeed."""

from pathlib import Path
from typing import Any

import pytest
import torch
import zero
from torch import Tensor

import tiny
from groundup.errors import GroundupError
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.deepspeed import library
from groundup.parallel.deepspeed.universal import LATEST, read
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig

pytestmark = pytest.mark.engines
pytest.importorskip("deepspeed.comm")

State = dict[str, Tensor]
EMA = 0.9
GIVEN = LoopConfig(ema=EMA)
SINGLE = zero.train(zero.single(GIVEN), 5)
LAYOUTS = [(1, 2), (2, 3), (3, 2)]  # stage, processes


def single_state(steps: int = 3) -> State:
    engine = zero.single(GIVEN)
    zero.train(engine, steps)
    return copied(engine.state())


def copied(state: State) -> State:
    return {name: tensor.clone() for name, tensor in state.items()}


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def trained(stage: int, size: int, precision: str, steps: int = 3) -> State:
    engine = zero.engine(zero.config(stage, size, ema=EMA), precision)
    zero.train(engine, steps)
    return engine.state()


def restored(stage: int, size: int, precision: str, state: State, of_leader: bool) -> tuple[State, list[Any]]:
    """The state again, and how training continues from there."""
    engine = zero.engine(zero.config(stage, size, ema=EMA), precision, seed=5)
    zero.train(engine, 1, first=40)
    engine.restore(state if engine.leader or not of_leader else {})
    return engine.state(), zero.train(engine, 2, first=3)


@pytest.mark.parametrize(("stage", "size"), LAYOUTS)
def test_one_process_continues_from_zero(stage: int, size: int) -> None:
    state = zero.run(size, trained, stage, size, "fp32")[0]
    assert state.keys() == single_state().keys()
    assert {tensor.dtype for name, tensor in state.items() if name != "average.steps"} == {torch.float32}
    engine = zero.single(GIVEN, seed=5)
    engine.restore(state)
    assert equal(engine.state(), state)
    assert zero.largest(zero.train(engine, 2, first=3), SINGLE[3:]) < 1e-5


@pytest.mark.parametrize(("stage", "size"), LAYOUTS)
def test_zero_continues_from_one_process(stage: int, size: int) -> None:
    state = single_state()
    for again, rest in zero.run(size, restored, stage, size, "fp32", state, False)[:1]:
        assert equal(again, state)
        assert zero.largest(rest, SINGLE[3:]) < 1e-5


@pytest.mark.parametrize("stage", [1, 3])
def test_bf16_masters_are_exact(stage: int) -> None:
    """From one stage to the next, given to the leading process alone."""
    state = zero.run(2, trained, stage, 2, "bf16")[0]
    other = stage % 3 + 1
    assert equal(zero.run(2, restored, other, 2, "bf16", state, True)[0][0], state)


def test_the_state_before_the_first_step_has_no_optimizer_state() -> None:
    state = single_state(steps=0)
    assert not any(name.startswith("optimizer.") for name in state)
    again, rest = zero.run(2, restored, 3, 2, "fp32", state, False)[0]
    assert equal(again, state)
    alone = zero.single(GIVEN)
    assert zero.largest(rest, zero.train(alone, 2, first=3)) < 1e-5


def test_checkpoints_are_written_by_all_and_read_by_any(tmp_path: Path) -> None:
    def save() -> tuple[State, int]:
        given = zero.config(3, ema=EMA)
        engine = zero.engine(given)
        zero.train(engine, 3)
        snapshot = engine.snapshot()
        checkpoints = Checkpoints(tmp_path, given)
        checkpoints.save(3, snapshot, {})
        checkpoints.finish()
        return engine.state(), len(snapshot)

    def resume() -> tuple[State, list[Any]]:
        given = zero.config(2, 3, ema=EMA)
        engine = zero.engine(given, seed=5)
        saved = Checkpoints(tmp_path, given).load()
        assert saved
        engine.load(saved.tensors)
        return engine.state(), zero.train(engine, 2, first=3)

    (state, count), (_, other) = zero.run(2, save)
    assert count + other == len(state)
    assert abs(count - other) <= 1
    alone = zero.single(GIVEN, seed=5)
    saved = Checkpoints(tmp_path, GIVEN).load()
    assert saved
    alone.load(saved.tensors)
    assert equal(alone.state(), state)
    again, rest = zero.run(3, resume)[0]
    assert equal(again, state)
    assert zero.largest(rest, SINGLE[3:]) < 1e-5


def test_what_does_not_fit_is_refused() -> None:
    def refusals(states: list[State]) -> list[str]:
        engine = zero.engine(zero.config(2, 1), seed=5)
        messages = []
        for state in states:
            with pytest.raises(GroundupError) as error:
                engine.restore(state)
            messages.append(str(error.value))
        return messages

    good, name = single_state(), "model.norm.weight"
    uneven = good | {f"optimizer.step.{name}": torch.tensor(2.0)}
    lacking = {key: tensor for key, tensor in good.items() if key != f"model.{name}"}
    wider = good | {f"model.{name}": torch.zeros(33)}
    muon = good | {f"optimizer.momentum.{name}": torch.zeros(32)}
    expected = ["fewer steps", f"no model.{name}", "needs [32]", "keeps momentum"]
    for message, words in zip(zero.run(1, refusals, [uneven, lacking, wider, muon])[0], expected, strict=True):
        assert words in message
        assert "\n" not in message


@pytest.mark.parametrize(("stage", "precision"), [(1, "bf16"), (3, "fp32")])
def test_universal_checkpoints(stage: int, precision: str, tmp_path: Path) -> None:
    """Read by another engine, and by a DeepSpeed that knows nothing of groundup, of another stage and size."""

    def save() -> State:
        engine = zero.engine(zero.config(stage), precision)
        zero.train(engine, 2)
        engine.export_universal(tmp_path / "checkpoint")
        with pytest.raises(GroundupError, match="something in this folder"):
            engine.export_universal(tmp_path / "checkpoint")
        return engine.state()

    def load() -> State:
        engine = zero.engine(zero.config(stage % 3 + 1, 3), "bf16", seed=5)
        engine.import_universal(tmp_path / "checkpoint")
        return engine.state()

    def load_elsewhere() -> State:
        deepspeed = library.load(torch.device("cpu"))
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        model = tiny.model(seed=5)
        groups = [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
        ]
        settings = {
            "train_micro_batch_size_per_gpu": 1,
            "zero_optimization": {"stage": 3 if stage == 3 else 3 - stage},
            "checkpoint": {"load_universal": True},
        }
        engine, _, _, _ = deepspeed.initialize(
            model=model, optimizer=torch.optim.AdamW(groups, betas=(0.9, 0.95)), config=settings
        )
        engine.load_checkpoint(str(tmp_path / "checkpoint"))
        found = {}
        for name, parameter in model.named_parameters():
            found[f"model.{name}"] = safe_get_full_fp32_param(parameter)
            for moment in ("exp_avg", "exp_avg_sq"):
                found[f"optimizer.{moment}.{name}"] = safe_get_full_optimizer_state(parameter, moment)
        return found

    state = zero.run(2, save)[0]
    alone = zero.single(seed=5)
    found = read(tmp_path / "checkpoint", alone.model)
    assert equal(found, state)
    alone.restore(found)
    assert equal(alone.state(), state)
    assert equal(zero.run(3, load)[0], state)
    elsewhere = zero.run(1, load_elsewhere)[0]
    assert equal(elsewhere, {key: tensor for key, tensor in state.items() if ".step." not in key})
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == {"universal", LATEST}


def test_a_damaged_universal_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="no whole universal checkpoint"):
        read(tmp_path, tiny.model())
    part = tmp_path / "universal" / "zero" / "model.embed_tokens.weight"
    part.mkdir(parents=True)
    (tmp_path / LATEST).write_text("universal")
    (part / "fp32.pt").write_bytes(b"\x80\x02")
    with pytest.raises(GroundupError, match="no whole universal checkpoint"):
        read(tmp_path, tiny.model())


def test_files_are_read_tensor_by_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process ever holds the whole state."""

    def load() -> State:
        def whole(*_: Any) -> None:
            raise AssertionError("all at once")

        engine = zero.engine(zero.config(3, 1), seed=5)
        monkeypatch.setattr(engine, "restore", whole)
        engine.load(TensorFiles(tmp_path))
        return engine.state()

    from safetensors.torch import save_file

    state = {key: tensor for key, tensor in single_state().items() if not key.startswith("average.")}
    save_file(state, tmp_path / "tensors.safetensors")
    assert equal(zero.run(1, load)[0], state)
