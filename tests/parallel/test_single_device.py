"""A step is torch's own arithmetic over all micro-batches, and one that goes wrong changes nothing."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from groundup.errors import GroundupError
from groundup.parallel.device import best_device, resolve_precision
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

Batch = tuple[Tensor, Tensor]
BATCHES = [(tiny.ids(rows, 7, seed=rows), tiny.ids(rows, 7, seed=50 + rows)) for rows in (1, 4, 2)]
WEIGHTS = [idx.numel() for idx, _ in BATCHES]


def loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    logits, _ = model(batch[0])
    right = (logits.argmax(-1) == batch[1]).sum()
    return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten(), reduction="sum"), {"accuracy": right}


def test_steps_are_those_of_torch() -> None:
    """Against plain PyTorch on the concatenated batch, several steps, clipping and decay included."""
    ours, plain = tiny.engine(tiny.model()), tiny.model()
    decayed = [p for p in plain.parameters() if p.dim() >= 2]
    others = [p for p in plain.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.95), eps=1e-8
    )
    whole = tuple(torch.cat(parts) for parts in zip(*BATCHES, strict=True))
    for step in range(4):
        rate = 1e-2 / (step + 1)
        result = ours.train_step(BATCHES, WEIGHTS, loss, rate, clip_norm=0.5)
        optimizer.zero_grad()
        logits, mean = plain(*whole)
        mean.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        assert result.loss == pytest.approx(mean.item(), rel=1e-5)
        assert result.gradient_norm == pytest.approx(norm.item(), rel=1e-4)
        assert norm > 0.5  # it was clipped
        assert result.statistics["accuracy"] == pytest.approx(float((logits.argmax(-1) == whole[1]).float().mean()))
    for (name, a), b in zip(ours.model.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), name


def test_gains_do_not_decay() -> None:
    made = tiny.model()
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    engine = tiny.engine(made, weight_decay=0.5)
    engine.train_step([None], [1], lambda model, _: (0 * sum(p.sum() for p in model.parameters()), {}), 0.1, 1.0)
    for name, parameter in made.named_parameters():
        expected = before[name] * (0.95 if parameter.dim() > 1 else 1.0)
        assert torch.allclose(parameter, expected), name


def snapshot(engine: SingleDevice) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in engine.state().items()}


def broken(value: float, where: str) -> Callable:
    def bad(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        total, watch = loss(model, batch)
        if len(batch[0]) == 4:
            if where == "loss":
                total = total * value
            else:  # a finite loss with a gradient that is not
                parameter = model.model.norm.weight
                parameter.register_hook(lambda gradient: gradient * value)
        return total, watch

    return bad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(value: float, where: str) -> None:
    engine, twin = tiny.engine(tiny.model()), tiny.engine(tiny.model())
    for one in (engine, twin):
        one.train_step(BATCHES, WEIGHTS, loss, 1e-3, 1.0)
    before = snapshot(engine)
    with pytest.raises(GroundupError, match=r"sft, step 7: .*training has diverged"):
        engine.train_step(BATCHES, WEIGHTS, broken(value, where), 1e-3, 1.0, where="sft, step 7")
    after = engine.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not tiny.gradients(engine.model)
    if where == "loss":  # the hook of the other case stays on the parameter
        for one in (engine, twin):
            one.train_step(BATCHES, WEIGHTS, loss, 1e-3, 1.0)
        assert all(torch.equal(tensor, twin.state()[name]) for name, tensor in engine.state().items())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_restored_engine_continues_bit_for_bit(tied: bool) -> None:
    engine = tiny.engine(tiny.model(tie_word_embeddings=tied))
    for _ in range(2):
        engine.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0)
    kept = snapshot(engine)
    other = tiny.engine(tiny.model(seed=5, tie_word_embeddings=tied))
    other.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0)
    other.restore(kept)
    results = [one.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0) for one in (engine, other)]
    assert results[0] == results[1]
    assert engine.state().keys() == other.state().keys()
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in engine.state().items())
    assert all(torch.equal(kept[name], snapshot_) for name, snapshot_ in kept.items())
    assert not any(torch.equal(kept[name], engine.state()[name]) for name in kept if name.startswith("model."))


def test_an_engine_restored_at_the_start_has_no_optimizer_state() -> None:
    fresh, used = tiny.engine(tiny.model()), tiny.engine(tiny.model())
    state = snapshot(fresh)
    used.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0)
    used.restore(state)
    for one in (fresh, used):
        one.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0)
    assert all(torch.equal(tensor, used.state()[name]) for name, tensor in fresh.state().items())


def test_frozen_parameters_stay() -> None:
    made = tiny.model()
    made.model.embed_tokens.requires_grad_(False)
    before = made.model.embed_tokens.weight.clone()
    engine = SingleDevice(made, make_optimizer(OptimizerConfig()), torch.device("cpu"), "fp32")
    engine.train_step(BATCHES, WEIGHTS, loss, 1e-2, 1.0)
    engine.restore(snapshot(engine))
    assert torch.equal(made.model.embed_tokens.weight, before)


def test_bf16_keeps_float32_weights() -> None:
    """Matmuls are rounded, the weights and their small steps are not."""
    exact = tiny.engine(tiny.model())
    rounded = SingleDevice(tiny.model(), make_optimizer(OptimizerConfig()), torch.device("cpu"), "bf16")
    a, b = (one.train_step(BATCHES, WEIGHTS, loss, 1e-6, 1.0) for one in (exact, rounded))
    assert a.loss != b.loss
    assert a.loss == pytest.approx(b.loss, rel=0.02)
    assert all(parameter.dtype == torch.float32 for parameter in rounded.model.parameters())
    start = tiny.model().lm_head.weight
    moved = (rounded.model.lm_head.weight - start).detach().abs()
    assert 1e-7 < float(moved.max()) < 1e-5  # bf16 could not hold such a step


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("fp32", cpu) == "fp32"
    assert resolve_precision("bf16", cpu) == "bf16"
    assert resolve_precision("auto", cpu) in ("fp32", "bf16")
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_the_device_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_DEVICE", "cpu")
    assert best_device() == torch.device("cpu")
    monkeypatch.setenv("GROUNDUP_DEVICE", "abacus")
    with pytest.raises(GroundupError, match=r"GROUNDUP_DEVICE.*abacus"):
        best_device()
