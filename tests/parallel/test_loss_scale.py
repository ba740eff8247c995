"""Training in float16 with loss scaling: PyTorch's GradScaler number for number, overflows skipped, exact resume."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ranks
import tiny
from curves import Curve, Training, alone, expected, loss, steps, weight
from groundup.artifacts import read_metrics
from groundup.errors import GroundupError
from groundup.inference.continuation import continue_prompts
from groundup.model.cross_entropy import FLOAT16_ROWS, linear_cross_entropy
from groundup.parallel import loss_scale
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import resolve_precision
from groundup.parallel.engine import DivergedError, StepResult
from groundup.parallel.loss_scale import LossScaler
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.single_device import SingleDevice
from groundup.parallel.torch_engine import TorchEngine
from groundup.progress import Silent
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import GuardConfig, LoopConfig, OptimizerConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan, train
from groundup.training.objective import Objective
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch
from resuming import Cut, Every, KilledError, assert_survives_a_kill_after_each_step, pretraining

CPU = torch.device("cpu")
HALF = Training(precision="fp16", length=8)
RATE, CLIP = 1e-2, 0.5


def take(engine: TorchEngine, step: int, of: Callable[..., Any] = loss, **more: Any) -> StepResult:
    batches = HALF.batches(step, engine.data_rank)
    return engine.train_step(batches, [weight(batch) for batch in batches], of, RATE, CLIP, **more)


def times(factor: float, of: TokenBatch | None = None) -> Callable[..., Any]:
    """The loss, multiplied by a factor; `of`: for one micro-batch alone."""

    def changed(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        value, statistics = loss(model, batch)
        return value * (factor if of is None or torch.equal(of.inputs_BT, batch.inputs_BT) else 1.0), statistics

    return changed


def apart(a: Curve, b: Curve) -> float:
    """The largest difference between losses."""
    return max(abs(x - y) for x, y in zip([*a.losses, a.validation], [*b.losses, b.validation], strict=True))


def test_the_rules_are_those_of_grad_scaler() -> None:
    theirs = torch.amp.GradScaler("cpu")
    ours = LossScaler()
    assert (ours.scale, loss_scale.FINITE_STEPS) == (theirs.get_scale(), theirs.get_growth_interval())
    assert (theirs.get_growth_factor(), theirs.get_backoff_factor()) == (2.0, 0.5)


def test_steps_are_those_of_grad_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses, norms, skipped steps, scales and weights of 40 steps, bit for bit, with a scale that overflows."""
    monkeypatch.setattr(loss_scale, "FINITE_STEPS", 3)
    engine, plain = alone(HALF), HALF.model()
    optimizer = make_optimizer(HALF.optimizer)(plain)
    scaler = torch.amp.GradScaler("cpu", growth_interval=3)
    skipped, scales = [], set[float]()
    for step in range(40):
        batches = HALF.batches(step)
        total, sums = sum(map(weight, batches)), 0.0
        scale = scaler.get_scale()
        for batch in batches:
            with torch.autocast("cpu", torch.float16):
                part, _ = loss(plain, batch)
            scaler.scale(part / total).backward()
            sums += part.item()
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(plain.parameters(), CLIP, foreach=True)
        before = plain.lm_head.weight.clone()
        for group in optimizer.param_groups:
            group["lr"] = RATE
        scaler.step(optimizer)
        optimizer.zero_grad()
        scaler.update()
        result = take(engine, step)
        assert result.loss == sums / total
        assert result.statistics["loss_scale"] == scale
        assert result.taken == (not torch.equal(before, plain.lm_head.weight)) == bool(norm.isfinite())
        assert result.gradient_norm == norm or not (norm.isfinite() or math.isfinite(result.gradient_norm))
        scales.add(scale)
        if not result.taken:
            skipped.append(step)
    assert all(torch.equal(a, b) for a, b in zip(engine.model.parameters(), plain.parameters(), strict=True))
    assert len(skipped) > 2 and len(scales) > 3
    assert engine.scaler is not None
    assert engine.scaler.scale == scaler.get_scale()


def test_a_curve_is_near_that_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nearer than bf16's, whose numbers have three bits fewer. AdamW's first steps go by a gradient's sign, which
    is anything where it is next to 0: so the curves part a little."""
    monkeypatch.setattr(loss_scale, "START", 256.0)  # at which no step overflows: all take the same ones
    exact = expected(replace(HALF, precision="fp32"))
    half, brain = (steps(alone(replace(HALF, precision=of)), HALF) for of in ("fp16", "bf16"))
    assert 0 < apart(half, exact) < 5e-3
    assert apart(half, exact) < apart(brain, exact) / 3
    assert half.norms[0] == pytest.approx(exact.norms[0], rel=1e-4)


def test_small_gradients_need_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a loss so small that its gradient is below float16's least number, most is lost without a scale."""
    tiny_loss = times(1e-6)
    exact = take(alone(replace(HALF, precision="fp32")), 0, tiny_loss).gradient_norm
    scaled = take(alone(HALF), 0, tiny_loss).gradient_norm
    monkeypatch.setattr(loss_scale, "START", 1.0)
    unscaled = take(alone(HALF), 0, tiny_loss).gradient_norm
    assert scaled == pytest.approx(exact, rel=0.01)
    assert abs(unscaled / exact - 1) > 0.1


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_overflow_is_skipped_and_training_continues(value: float) -> None:
    """A loss that isn't finite counts as one, as for GradScaler: no weight or moment moves, the guard isn't asked."""
    engine, twin = alone(HALF), alone(HALF)
    for one in (engine, twin):
        assert one.scaler is not None
        one.scaler.scale = 64.0
        take(one, 0)
    before = {name: tensor.clone() for name, tensor in engine.state().items()}
    result = take(engine, 1, times(value), accept=lambda mean, norm: pytest.fail("asked"))
    assert not result.taken
    assert not math.isfinite(result.loss)
    after = engine.state()
    assert before.keys() == after.keys()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "scaler.scale",
        "scaler.good_steps",
    }
    assert after["scaler.scale"] == 32.0
    assert not tiny.gradients(engine.model)
    a, b = take(engine, 2), take(twin, 2)  # under other scales: what underflows is not quite the same
    assert a.taken and a.loss == b.loss
    assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-3)


def test_what_is_never_finite_has_diverged() -> None:
    engine = alone(HALF)
    for halvings in range(16):
        assert not take(engine, 0, times(math.nan)).taken, halvings
    with pytest.raises(DivergedError, match=r"sft, step 17: the loss is nan .*diverged"):
        take(engine, 0, times(math.nan), where="sft, step 17")
    assert engine.state()["scaler.scale"] == 1.0
    assert take(engine, 0).taken


def overflowing() -> Objective:
    """Its loss is infinite in step 2, counted from 0."""
    made, now = pretraining(), [-1]
    batches, own = made.batches, made.loss

    def noted(step: int, data_rank: Any) -> Any:
        now[0] = step
        return batches(step, data_rank)

    def infinite(model: nn.Module, batch: TokenBatch) -> Any:
        value, statistics = own(model, batch)
        return value * (math.inf if now[0] == 2 else 1.0), statistics

    made.batches, made.loss = noted, infinite  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("name", ["adamw", "muon", "adafactor", "adamw_8bit"])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, across a scale that doubles and an overflow that halves it; the metrics show both."""
    monkeypatch.setattr(loss_scale, "FINITE_STEPS", 2)
    monkeypatch.setattr(loss_scale, "START", 256.0)
    config = LoopConfig(optimizer=OptimizerConfig.model_validate({"name": name}), warmup=0.3, ema=0.9)

    def make(seed: int) -> tuple[SingleDevice, Objective]:
        rule = make_optimizer(config.optimizer)
        return SingleDevice(tiny.model(seed), rule, CPU, "fp16", config.ema), overflowing()

    whole = assert_survives_a_kill_after_each_step(make, tmp_path, TrainPlan(6, 1e-2, config, validate_every=2))
    assert [row["loss_scale"] for row in whole.rows] == [256, 256, 512, 256, 256, 512]
    assert [row["step"] for row in whole.rows if row.get("skipped")] == [3]
    assert whole.rows[2]["loss"] is None
    assert (whole.tensors["scaler.scale"], whole.tensors["scaler.good_steps"]) == (512, 1)


def test_losing_the_scale_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossScaler, "restore", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_resumed_run_is_the_uninterrupted_one("adamw", tmp_path, monkeypatch)


def test_a_run_returns_from_what_never_becomes_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `on_divergence: return` the scale of the checkpoint comes back too."""
    monkeypatch.setattr(loss_scale, "START", 1.0)
    config = LoopConfig(guard=GuardConfig(on_divergence="return"))
    engine = SingleDevice(tiny.model(spread=0.1), make_optimizer(config.optimizer), CPU, "fp16")
    train(
        engine,
        overflowing(),
        TrainPlan(5, 1e-2, config),
        title="test",
        checkpoints=Checkpoints(tmp_path, config),
        metrics_path=tmp_path / "metrics.jsonl",
        progress=Silent(),
    )
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl") if row.get("diverged")] == [3]


LAYOUTS: dict[str, dict[str, Any]] = {
    "ddp": {"dp_replicate": 2},
    "fsdp": {"dp_shard": 2},
    "tp": {"tp": 2},
    "pp": {"pp": 2},
}


def mesh(degrees: dict[str, Any], training: Training = HALF) -> MeshEngine:
    return MeshEngine(training.model(), make_optimizer(training.optimizer), ParallelConfig(**degrees), "fp16")


def in_a_mesh(degrees: dict[str, Any]) -> tuple[Curve, bool, float, list[float], float]:
    """A curve; whether an overflow in one process's micro-batch is skipped; the scale after it, the same everywhere;
    a state restored by another engine."""
    curve = steps(mesh(degrees), HALF)
    engine = mesh(degrees)
    take(engine, 0)
    before = [parameter.detach().clone() for parameter in engine.model.parameters()]
    batches = HALF.batches(1, engine.data_rank)
    last = not engine.leader or engine.layout.dp.size() == 1
    skipped = take(engine, 1, times(math.inf, batches[1]) if last else loss)
    same = all(torch.equal(a, b) for a, b in zip(before, engine.model.parameters(), strict=True))
    assert engine.scaler is not None
    scale = engine.scaler.scale
    state = engine.state()
    other = mesh(degrees)
    other.restore(state)
    assert other.scaler is not None
    assert (other.scaler.scale, other.scaler.good_steps) == (scale, 0)
    norms = [take(one, 2).gradient_norm for one in (engine, other)]
    return curve, same and not skipped.taken, scale, norms, float(state.get("scaler.scale", 0))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_processes_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "START", 256.0)
    whole = steps(alone(HALF), HALF)
    results = ranks.run(2, in_a_mesh, LAYOUTS[kind])
    for curve, skipped, scale, norms, _ in results:
        assert apart(curve, whole) < 5e-3
        assert curve.norms[0] == pytest.approx(whole.norms[0], rel=1e-3)
        assert skipped
        assert scale == 128.0
        assert norms[0] == norms[1] and math.isfinite(norms[0])
    assert results[0][4] == 128.0
    assert results[0][0].losses == results[1][0].losses


def train_until(folder: Path, degrees: dict[str, Any], until: int) -> None:
    """To the end, or to a kill before step `until`; from the folder's last checkpoint where there is one."""
    config = LoopConfig(warmup=0.3, accumulate=2, parallel=ParallelConfig(**degrees))
    engine = engine_for(tiny.model(99 if any(folder.glob("checkpoint-*")) else 0, spread=0.1), config, "fp16")
    with suppress(KilledError):
        train(
            engine,
            Cut(overflowing(), until),
            TrainPlan(6, 2e-3, config),
            title="test",
            checkpoints=Every(folder, 1, config.parallel),
            metrics_path=folder / "metrics.jsonl",
            progress=Silent(),
        )


def test_another_layout_continues_with_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of two processes write the checkpoint, right after an overflow; one process continues, then two again."""
    monkeypatch.setattr(loss_scale, "FINITE_STEPS", 2)
    monkeypatch.setattr(loss_scale, "START", 256.0)
    train_until(tmp_path / "whole", {}, -1)
    ranks.run(2, train_until, tmp_path / "cut", {"dp_shard": 2}, 3)
    train_until(tmp_path / "cut", {}, 5)
    ranks.run(2, train_until, tmp_path / "cut", {"dp_replicate": 2}, -1)
    ours, theirs = (read_metrics(tmp_path / folder / "metrics.jsonl") for folder in ("cut", "whole"))
    assert (
        [row["loss_scale"] for row in ours] == [row["loss_scale"] for row in theirs] == [256, 256, 512, 256, 256, 512]
    )
    assert [row.get("skipped") for row in ours] == [row.get("skipped") for row in theirs]
    finite = [(a["loss"], b["loss"]) for a, b in zip(ours, theirs, strict=True) if not a.get("skipped")]
    assert all(a == pytest.approx(b, abs=5e-3) for a, b in finite)


def test_sums_of_the_heads_gradient_stay_in_range() -> None:
    """They are made before any scale is known: however many tokens have the same target, none overflows."""
    rows = 10 * FLOAT16_ROWS
    x_ND = torch.full((rows, 2), 8.0, requires_grad=True)
    head_VD = torch.zeros(4, 2, requires_grad=True)
    with torch.autocast("cpu", torch.float16):
        total = linear_cross_entropy(x_ND, head_VD, torch.zeros(rows, dtype=torch.long))
    total.backward()
    assert head_VD.grad is not None
    assert head_VD.grad[0, 0] == -0.75 * 8 * rows  # far above 65,504


def test_answers_in_float16() -> None:
    made = tiny.model()
    prompts = [[5, 9, 3], [7]]
    exact, half = (
        continue_prompts(made, prompts, stop={60}, max_tokens=12, dtype=dtype)
        for dtype in (torch.float32, torch.float16)
    )
    assert [one.tokens for one in half] == [one.tokens for one in exact]
    engine = alone(HALF)
    assert engine.dtype == torch.float16
    with engine.autocast():
        assert made.lm_head(torch.randn(1, 32)).dtype == torch.float16


def test_other_engines_refuse() -> None:
    assert resolve_precision("fp16", CPU) == "fp16"
    for engine in ("deepspeed", "megatron"):
        config = LoopConfig(parallel=ParallelConfig(engine=engine))
        with pytest.raises(GroundupError, match=f"{engine} trains in fp32 or bf16, and pretrain.precision is fp16"):
            engine_for(tiny.model(), config, "fp16")
