"""Matmuls in float8: rounded as published, the model's own in all else, and refused where they can't be had.

Without a GPU that multiplies float8, torchao's emulation replaces it: the same rounding, matmuls in float32.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ranks
import tiny
from curves import GPT2, LLAMA, Curve, Training, alone, expected, steps
from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.model.weights import load_model, save_model
from groundup.parallel import float8
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.recompute import ActivationCheckpointing, checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import PretrainConfig
from groundup.training.optimizer import make_optimizer

CPU = torch.device("cpu")
BF16 = Training(precision="bf16")
BIASED = Training(shape=dict(GPT2), precision="bf16")
MIXTURE = Training(shape={"num_experts": 4, "num_experts_per_tok": 2}, precision="bf16")


@pytest.fixture(scope="module")
def torchao() -> Any:
    return pytest.importorskip("torchao.float8.float8_linear")


def converted(training: Training = BF16, recompute: ActivationCheckpointing = "none") -> CustomLanguageModel:
    model = training.model()
    float8.convert(model.model.layers, CPU, "bf16", ParallelConfig(), _emulate=True)
    checkpoint_blocks(model.model.layers, recompute)
    return model


def engine(training: Training = BF16, recompute: ActivationCheckpointing = "none") -> SingleDevice:
    return SingleDevice(converted(training, recompute), make_optimizer(training.optimizer), CPU, "bf16", training.ema)


def apart(a: Curve, b: Curve) -> float:
    """The largest difference between losses."""
    return max(abs(x - y) for x, y in zip([*a.losses, a.validation], [*b.losses, b.validation], strict=True))


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """To float8 and back, scaled so that the largest number is the type's largest."""
    scale = torch.finfo(dtype).max / x.abs().max().double()
    return (x * scale.float()).to(dtype).float() / scale.float()


@pytest.mark.slow
def test_a_matmul_and_its_gradients_are_those_of_rounded_factors(torchao: Any) -> None:
    layers = nn.ModuleList([nn.Linear(32, 48)])
    weight, bias = layers[0].weight.detach(), layers[0].bias.detach()
    float8.convert(layers, CPU, "bf16", ParallelConfig(), _emulate=True)
    x_NI = torch.randn(16, 32, requires_grad=True)
    d_NO = torch.randn(16, 48)
    y_NO = layers[0](x_NI)
    y_NO.backward(d_NO)
    x, w = (rounded(factor, torch.float8_e4m3fn) for factor in (x_NI.detach(), weight))
    d = rounded(d_NO, torch.float8_e5m2)
    assert torch.allclose(y_NO, x @ w.T + bias, atol=1e-5)
    assert torch.allclose(x_NI.grad, d @ w, atol=1e-5)
    assert torch.allclose(layers[0].weight.grad, d.T @ x, atol=1e-4)
    assert torch.allclose(layers[0].bias.grad, d_NO.sum(0), atol=1e-5)
    assert not torch.allclose(y_NO, x_NI @ weight.T + bias, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("training", [BF16, BIASED, MIXTURE], ids=["llama", "gpt2", "mixture"])
def test_a_curve_is_near_that_of_bf16(torchao: Any, training: Training) -> None:
    exact, coarse = expected(training), steps(engine(training), training)
    assert 0 < apart(coarse, exact) < 0.06


@pytest.mark.slow
def test_only_the_layers_matmuls_change_and_no_name(torchao: Any, tmp_path: Path) -> None:
    plain, model = MIXTURE.model(), converted(MIXTURE)
    changed = {name for name, module in model.named_modules() if isinstance(module, torchao.Float8Linear)}
    assert changed == {f"model.layers.{n}.self_attn.{part}_proj" for n in (0, 1) for part in "qkvo"}
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    trained, bf16 = engine(), alone(BF16)
    for one in (trained, bf16):
        steps(one, BF16, [0])
    assert trained.state().keys() == bf16.state().keys()
    with trained.whole() as whole:
        assert isinstance(whole, CustomLanguageModel)
        save_model(tmp_path / "model", whole)
    loaded = load_model(tmp_path / "model")
    assert not any(isinstance(module, torchao.Float8Linear) for module in loaded.modules())
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), whole.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "selective"])
def test_recomputed_layers_are_the_same(torchao: Any, mode: ActivationCheckpointing) -> None:
    plain, again = engine(), engine(recompute=mode)
    assert steps(plain, BF16, range(3)) == steps(again, BF16, range(3))


@pytest.mark.slow
def test_a_restored_engine_continues_bit_for_bit(torchao: Any) -> None:
    one, other = engine(), engine()
    steps(one, BF16, range(2))
    steps(other, BF16, range(4, 6))
    other.restore({name: tensor.clone() for name, tensor in one.state().items()})
    assert steps(one, BF16, [2]) == steps(other, BF16, [2])
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in one.state().items())


def in_a_mesh(degrees: dict[str, Any]) -> tuple[Curve, bool]:
    """A curve, and whether the gathered model computes."""
    made = MeshEngine(converted(), make_optimizer(BF16.optimizer), ParallelConfig(**degrees), "bf16")
    curve = steps(made, BF16)
    with made.whole() as whole, torch.no_grad():
        logits, _ = whole(tiny.ids(2, 8))
    return curve, bool(logits.isfinite().all())


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [{"dp_replicate": 2}, {"dp_shard": 2}, {"pp": 2}], ids=["ddp", "fsdp", "pp"])
def test_two_processes_train_as_one(torchao: Any, degrees: dict[str, Any]) -> None:
    """About: each process scales by the largest number of its own rows."""
    one = steps(engine(), BF16)
    for curve, computes in ranks.run(2, in_a_mesh, degrees):
        assert computes
        assert apart(curve, one) < 0.06


def refused(training: Training = BF16, precision: Any = "bf16") -> str:
    with pytest.raises(GroundupError) as error:
        float8.convert(training.model().model.layers, CPU, precision)
    return str(error.value)


def test_what_does_not_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pretrain.fp8: what is not float8 is bf16, and the precision is fp16" in refused(precision="fp16")
    narrow = Training(shape=LLAMA | {"intermediate_size": 40})
    assert "layers.0.mlp.gate_proj is 32 by 40" in refused(narrow)
    monkeypatch.setattr(float8, "find_spec", lambda name: None)
    assert "pip install 'groundup[float8]'" in refused()
    monkeypatch.setattr(float8, "find_spec", lambda name: name)
    assert "CUDA capability 8.9 or above (Ada, Hopper), and this is the device cpu" in refused()
    with pytest.raises(ValueError, match="set sequence to a multiple of 16"):
        PretrainConfig(fp8=True, sequence=24)


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0)])
def test_gpus_are_distinguished(capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    if capability >= (8, 9):
        float8._check_device(torch.device("cuda"))
    else:
        with pytest.raises(GroundupError, match=f"CUDA capability {capability[0]}.{capability[1]}; remove it"):
            float8._check_device(torch.device("cuda"))
