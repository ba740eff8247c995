"""Under ZeRO a model learns as in one process: the same losses, norms, weights and optimizer state."""

import math
import os
from typing import Any

import pytest
import torch
import torch.distributed as dist
import zero
from torch import Tensor, nn

import tiny
from groundup.errors import GroundupError
from groundup.parallel.engine import DivergedError
from groundup.parallel.mesh.process_group import VARIABLES
from groundup.parallel.recompute import checkpoint_blocks
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.telemetry.layers import LayerWatch

pytestmark = pytest.mark.engines
pytest.importorskip("deepspeed.comm")

STEPS = 10
SINGLE = zero.train(zero.single(), STEPS)


def curve(given: LoopConfig, precision: str = "fp32", **shape: Any) -> list[tuple[float, float, float]]:
    return zero.train(zero.engine(given, precision, **shape), STEPS)


def test_the_curve_is_a_hard_one() -> None:
    """Clipping is at work, micro-batches and shares have unequal weights, and the loss falls."""
    assert sum(norm > zero.CLIP for _, norm, _ in SINGLE) > STEPS / 2
    counts = [zero.weights(zero.batches(0, zero.DataRank(rank, 2))) for rank in range(2)]
    assert len({count for of_rank in counts for count in of_rank}) == 4
    assert zero.train(zero.single(), 40)[-1][0] < SINGLE[0][0] - 0.3


@pytest.mark.parametrize("offload", [False, True], ids=["kept", "offloaded"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_curves_are_those_of_one_process(stage: int, offload: bool) -> None:
    curves = zero.run(2, curve, zero.config(stage, parallel={"offload": offload}))
    assert curves[0] == curves[1]
    assert zero.largest(curves[0], SINGLE) < 1e-5


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_bf16_stays_close(stage: int) -> None:
    curves = zero.run(2, curve, zero.config(stage), "bf16")
    assert curves[0] != SINGLE
    assert zero.largest([(loss,) for loss, _, _ in curves[0]], [(loss,) for loss, _, _ in SINGLE]) < 3e-2
    assert all(abs(a[1] / b[1] - 1) < 3e-2 for a, b in zip(curves[0], SINGLE, strict=True))


@pytest.mark.parametrize("stage", [2, 3])
def test_three_processes(stage: int) -> None:
    """They don't divide the parameters evenly, nor are multiples of 3 exact."""
    assert zero.largest(zero.run(3, curve, zero.config(stage, 3))[0], SINGLE) < 1e-5


@pytest.mark.parametrize(("tied", "mode"), [(True, "selective"), (False, "full")])
def test_checkpointed_activations(tied: bool, mode: str) -> None:
    """Stage 3 gathers weights again for what is computed again; tied ones are used by two modules."""

    def recomputed() -> list[tuple[float, float, float]]:
        model = tiny.model(tie_word_embeddings=tied)
        checkpoint_blocks(model.model.layers, mode)
        return zero.train(engine_for(model, zero.config(), "fp32"), 4)

    expected = zero.train(zero.single(tie_word_embeddings=tied), 4)
    assert zero.largest(zero.run(2, recomputed)[0], expected) < 1e-5


@pytest.mark.parametrize("stage", [1, 3])
def test_evaluation_changes_nothing(stage: int) -> None:
    def looked_at() -> tuple[list[Any], tuple[float, dict[str, float]]]:
        engine = zero.engine(zero.config(stage))
        zero.train(engine, 1)
        figures = engine.evaluate(zero.batches(77, zero.DataRank()), zero.loss)
        return zero.train(engine, 2, first=1), figures

    alone = zero.single()
    zero.train(alone, 1)
    expected = alone.evaluate(zero.batches(77, zero.DataRank()), zero.loss)
    for rest, (total, sums) in zero.run(2, looked_at):
        assert total == pytest.approx(expected[0], abs=1e-3)
        assert sums == expected[1]
        assert zero.largest(rest, SINGLE[1:3]) < 1e-5


def test_dropout_is_for_training() -> None:
    def dropping(drop: bool) -> tuple[float, float]:
        engine = zero.engine(zero.config(), resid_pdrop=0.5)
        engine.dropout = drop
        validation, _ = engine.evaluate(zero.batches(77, zero.DataRank()), zero.loss)
        return validation, zero.train(engine, 1)[0][0]

    expected, _ = zero.single().evaluate(zero.batches(77, zero.DataRank()), zero.loss)
    (validation, with_it), (again, without) = (zero.run(2, dropping, drop)[0] for drop in (True, False))
    assert validation == again == pytest.approx(expected, abs=1e-3)
    assert without == pytest.approx(SINGLE[0][0], abs=1e-5)
    assert abs(with_it - without) > 1e-2


@pytest.mark.parametrize(
    ("stage", "precision", "offload"),
    [(1, "fp32", False), (1, "bf16", False), (2, "fp32", True), (3, "fp32", False), (3, "fp32", True)],
)
def test_a_step_that_is_refused_changes_nothing(stage: int, precision: str, offload: bool) -> None:
    """Also the very first one."""

    def refusing() -> tuple[bool, list[Any]]:
        engine = zero.engine(zero.config(stage, parallel={"offload": offload}), precision)
        asked: list[tuple[float, float]] = []

        def refuse(mean: float, norm: float) -> bool:
            asked.append((mean, norm))
            return False

        unchanged, taken = True, []
        for step in range(2):
            before = engine.state()
            batch = zero.batches(50, engine.data_rank)
            result = engine.train_step(batch, zero.weights(batch), zero.loss, 1.0, zero.CLIP, accept=refuse)
            unchanged &= not result.taken and asked[step:] == [(result.loss, result.gradient_norm)]
            unchanged &= same(before, engine.state())
            taken += zero.train(engine, 1, first=step, accept=lambda mean, norm: mean > 0 and norm > 0)
        return unchanged, taken

    for unchanged, taken in zero.run(2, refusing):
        assert unchanged
        if precision == "fp32":
            assert zero.largest(taken, SINGLE[:2]) < 1e-5


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_step_that_is_not_finite_changes_nothing(stage: int, precision: str) -> None:
    """Nor does it when only one process sees it, in its loss or in its gradient alone."""

    def diverging() -> tuple[bool, list[Any]]:
        engine = zero.engine(zero.config(stage), precision)
        zero.train(engine, 1)
        before = engine.state()
        for value, in_loss in ((math.nan, True), (math.inf, False)):

            def broken(
                model: nn.Module, batch: zero.Batch, value: float = value, in_loss: bool = in_loss
            ) -> tuple[Tensor, dict[str, Tensor]]:
                total, statistics = zero.loss(model, batch)
                if engine.data_rank.rank == 1 and in_loss:
                    return total * value, statistics
                if engine.data_rank.rank == 1:
                    total.register_hook(lambda gradient: gradient * value)
                return total, statistics

            batch = zero.batches(1, engine.data_rank)
            with pytest.raises(DivergedError, match=r"sft, step 7: .*training has diverged"):
                engine.train_step(batch, zero.weights(batch), broken, 1e-3, 1.0, where="sft, step 7")
        return same(before, engine.state()), zero.train(engine, 2, first=1)

    for unchanged, rest in zero.run(2, diverging):
        assert unchanged
        if precision == "fp32":
            assert zero.largest(rest, SINGLE[1:3]) < 1e-5


@pytest.mark.parametrize(("stage", "precision"), [(1, "fp32"), (2, "bf16"), (3, "fp32")])
def test_the_whole_model_can_be_used_by_one_process(stage: int, precision: str) -> None:
    """In float32, with what training has reached; the others need not take part in what is done with it."""

    def outputs() -> tuple[Tensor | None, bool, Tensor, list[Any]]:
        engine = zero.engine(zero.config(stage), precision)
        zero.train(engine, 2)
        ids = tiny.ids(3, 8)
        with engine.whole() as whole, torch.no_grad():
            logits = whole(ids)[0] if engine.leader else None
            float32 = all(parameter.dtype == torch.float32 for parameter in whole.parameters())
            weight = whole.model.layers[1].mlp.up_proj.weight.detach().clone()
        state = engine.state()
        if engine.leader:
            assert torch.equal(state["model.model.layers.1.mlp.up_proj.weight"], weight)
        return logits, float32, weight, zero.train(engine, 1, first=2)

    alone = zero.single()
    zero.train(alone, 2)
    with torch.no_grad():
        expected = alone.model(tiny.ids(3, 8))[0]
    (logits, float32, _, rest), (nothing, _, _, _) = zero.run(2, outputs)
    assert logits is not None
    assert nothing is None
    assert float32
    assert (logits - expected).norm() < (1e-5 if precision == "fp32" else 0.05) * expected.norm()
    if precision == "fp32":
        assert zero.largest(rest, SINGLE[2:3]) < 1e-5


def test_small_learning_rates_are_not_lost_in_bf16() -> None:
    """Masters start from the float32 weights, not from their bf16 copies, and hold steps that bf16 can't."""

    def moved(stage: int) -> dict[str, Tensor]:
        engine = zero.engine(zero.config(stage), "bf16")
        batch = zero.batches(0, engine.data_rank)
        engine.train_step(batch, zero.weights(batch), zero.loss, 1e-6, 1.0)
        return {name: tensor for name, tensor in engine.state().items() if name.startswith("model.")}

    start = dict(tiny.model().named_parameters())
    for stage in (1, 2, 3):
        largest = max(
            float((tensor - start[name[6:]].detach()).abs().max())
            for name, tensor in zero.run(2, moved, stage)[0].items()
        )
        assert 1e-7 < largest < 1e-5


@pytest.mark.parametrize(("stage", "precision"), [(1, "bf16"), (2, "fp32"), (3, "fp32")])
def test_averaged_weights(stage: int, precision: str) -> None:
    given = zero.config(stage, ema=0.9)

    def averaged() -> tuple[dict[str, Tensor], list[Any], dict[str, Tensor], list[Any], dict[str, Tensor]]:
        engine = zero.engine(given, precision)
        zero.train(engine, 3)
        before, state = engine.state(), None
        with engine.averaged():
            figures = engine.evaluate(zero.batches(9, zero.DataRank()), zero.loss)
        unchanged = same(before, engine.state())
        rest = zero.train(engine, 1, first=3)
        state = engine.state()
        assert engine.average
        engine.average.swap()
        with engine.whole() as whole:
            kept = {name: parameter.detach().clone() for name, parameter in whole.named_parameters()}
        return before, figures, unchanged, rest, state, kept

    alone = zero.single(given)
    zero.train(alone, 3)
    with alone.averaged():
        expected = alone.evaluate(zero.batches(9, zero.DataRank()), zero.loss)
    zero.train(alone, 1, first=3)
    tolerance = 1e-4 if precision == "fp32" else 0.3
    _, figures, unchanged, rest, state, kept = zero.run(2, averaged)[0]
    assert unchanged
    assert figures[0] == pytest.approx(expected[0], abs=tolerance)
    wanted = {name: tensor for name, tensor in alone.state().items() if name.startswith("average.")}
    assert wanted.keys() == {name for name in state if name.startswith("average.")}
    if precision == "fp32":
        assert zero.largest(rest, SINGLE[3:4]) < 1e-5
        assert all(torch.allclose(state[name], tensor, atol=2e-6) for name, tensor in wanted.items())
    assert all(torch.equal(kept[name], state[f"average.weight.{name}"]) for name in kept)


def test_frozen_parameters_stay() -> None:
    def frozen(stage: int) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Any]]:
        model = tiny.model()
        model.model.embed_tokens.requires_grad_(False)
        engine = engine_for(model, zero.config(stage), "fp32")
        before = engine.state()
        trained = zero.train(engine, 2)
        state = engine.state()
        engine.restore(state)
        return before, state, trained

    alone = zero.single()
    alone.model.model.embed_tokens.requires_grad_(False)
    expected = zero.train(alone, 2)
    name = "model.embed_tokens.weight"
    for stage in (1, 2, 3):
        before, after, trained = zero.run(2, frozen, stage)[0]
        assert torch.equal(before[f"model.{name}"], after[f"model.{name}"])
        assert f"optimizer.exp_avg.{name}" not in after
        assert zero.largest(trained, expected) < 1e-5


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    zero.run(2, curve, zero.config(1), "bf16")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert '"stage": 1' in printed.err


def test_what_deepspeed_refuses_is_one_line() -> None:
    def refused() -> str:
        with pytest.raises(GroundupError) as error:
            zero.engine(zero.config(size=1, parallel={"deepspeed": {"zero_optimization": {"reduce_bucket_size": -1}}}))
        return str(error.value)

    message = zero.run(1, refused)[0]
    assert message.startswith("parallel.deepspeed: DeepSpeed does not start")
    assert "\n" not in message


def test_one_process_needs_no_job() -> None:
    """Outside of torchrun, as `groundup run` in a single process; and a second engine after the first is closed."""

    def alone() -> list[Any]:
        dist.barrier()
        dist.destroy_process_group()
        for name in VARIABLES:
            del os.environ[name]
        curves = []
        for stage in (3, 2):
            engine = zero.engine(zero.config(stage, 1))
            curves.append(zero.train(engine, 2))
            engine.close()
            assert not dist.is_initialized()
            assert "LOCAL_RANK" not in os.environ
        return curves

    for trained in zero.run(1, alone)[0]:
        assert zero.largest(trained, SINGLE[:2]) < 1e-5


def test_layers_cannot_be_watched() -> None:
    """AdamW sees flat pieces there, so telemetry says that it can't."""

    def refused() -> str:
        with pytest.raises(GroundupError) as error:
            LayerWatch(zero.engine(zero.config(1, 1)))
        return str(error.value)

    assert "telemetry.layers" in zero.run(1, refused)[0]
