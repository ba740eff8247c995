"""Matmuls by oneDNN equal PyTorch's, with every gradient, and only where they are meant to be."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from groundup.model import linear
from groundup.model.linear import MIN_ONEDNN, OPERATORS, Linear, matmul
from groundup.parallel.compilation import SINCE
from groundup.parallel.recompute import checkpoint_blocks

pytestmark = pytest.mark.skipif(not OPERATORS, reason="this PyTorch has no oneDNN")


@pytest.fixture(autouse=True)
def on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "ONEDNN_IS_FASTER", True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes that oneDNN was given."""
    found: list[tuple[int, ...]] = []
    whole = linear._onednn

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        found.append(tuple(x.shape))
        return whole(x, weight, bias)

    monkeypatch.setattr(linear, "_onednn", counted)
    return found


def near(ours: Tensor, exact: Tensor) -> bool:
    """To float32's rounding, for sums of some hundred numbers."""
    return bool((ours.double() - exact).norm() < 1e-6 * exact.norm())


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_a_matmul_is_that_of_float64(transposed: tuple[bool, bool], calls: list[tuple[int, ...]]) -> None:
    """However its factors lie in memory."""
    torch.manual_seed(0)
    a, b = (torch.randn(100, 300), torch.randn(300, 200))
    a = a.T.contiguous().T if transposed[0] else a
    b = b.T.contiguous().T if transposed[1] else b
    assert near(matmul(a, b), a.double() @ b.double())
    assert calls == [(100, 300)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(120,), (3, 40), (2, 3, 20)])
def test_a_layer_and_its_gradients(bias: bool, shape: tuple[int, ...], calls: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    layer, x = Linear(90, 110, bias=bias), torch.randn(*shape, 90, requires_grad=True)
    exact, exact_x = nn.Linear(90, 110, bias=bias).double(), x.detach().double().requires_grad_()
    exact.load_state_dict(layer.state_dict())
    y, exact_y = layer(x), exact(exact_x)
    assert y.shape == (*shape, 110) and near(y, exact_y)
    upstream = torch.randn_like(y).transpose(0, -2).contiguous().transpose(0, -2)  # as a view of something else
    y.backward(upstream)
    exact_y.backward(upstream.double())
    assert x.grad is not None and exact_x.grad is not None
    assert near(x.grad, exact_x.grad)
    for ours, theirs in zip(layer.parameters(), exact.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert near(ours.grad, theirs.grad)
    assert len(calls) == 3


def test_gradients_that_nobody_wants_are_not_made(calls: list[tuple[int, ...]]) -> None:
    layer, x = Linear(90, 110), torch.randn(200, 90)
    layer.weight.requires_grad_(False)
    layer(x).sum().backward()
    assert len(calls) == 1
    assert layer.bias.grad is not None and torch.equal(layer.bias.grad, torch.full((110,), 200.0))


@pytest.mark.skipif(torch.__version__ < SINCE, reason=f"compiled layers need PyTorch {SINCE}")
def test_a_compiled_layer_is_the_same() -> None:
    """The compiler's own rules for oneDNN's operator fail for weights that are trained."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    layer, found = Linear(90, 110), []
    for function in (layer.forward, torch.compile(layer.forward, fullgraph=True, dynamic=False)):
        x = torch.randn(200, 90, generator=torch.Generator().manual_seed(1)).requires_grad_()
        layer.zero_grad()
        y = function(x)
        y.square().sum().backward()
        found.append([y, x.grad, layer.weight.grad, layer.bias.grad])
    torch._dynamo.reset()
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_all_else_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few numbers, other types, autocast, and processors where nothing is gained."""
    torch.manual_seed(0)
    monkeypatch.setattr(linear, "_onednn", None)
    layer = Linear(64, 64)
    few = torch.randn(MIN_ONEDNN // 64**2 - 1, 64)
    assert torch.equal(layer(few), F.linear(few, layer.weight, layer.bias))
    assert torch.equal(matmul(few, layer.weight), few @ layer.weight)
    many = torch.randn(MIN_ONEDNN // 64**2, 64)
    with pytest.raises(TypeError):  # so it would have been used
        layer(many)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(many).dtype == torch.bfloat16
    assert layer.double()(many.double()).dtype == torch.float64
    layer.float()
    monkeypatch.setattr(linear, "ONEDNN_IS_FASTER", False)
    assert torch.equal(layer(many), F.linear(many, layer.weight, layer.bias))


def test_a_model_s_step(calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradients are PyTorch's, also where a block is run a second time, and all matmuls are oneDNN's."""
    monkeypatch.setattr(linear, "MIN_ONEDNN", 0)
    found = []
    for faster, mode in ((False, "none"), (True, "none"), (True, "full"), (True, "selective")):
        monkeypatch.setattr(linear, "ONEDNN_IS_FASTER", faster)
        model = tiny.model()
        checkpoint_blocks(model.model.layers, mode)
        calls.clear()
        loss = model.loss_sum(tiny.ids(3, 40), tiny.ids(3, 40, seed=1))
        loss.backward()
        found.append((len(calls), loss.item(), [p.grad for p in model.parameters() if p.grad is not None]))
    (none, exact, theirs), (plain, *_), (full, *_), _ = found
    layers = 7 * len(tiny.model().model.layers)
    assert (none, plain, full) == (0, 3 * layers + 3, 4 * layers + 3)
    for _, value, gradients in found[1:]:
        assert value == pytest.approx(exact, rel=1e-6)
        assert all(
            (ours - wanted).norm() < 1e-5 * wanted.norm() for ours, wanted in zip(gradients, theirs, strict=True)
        )
