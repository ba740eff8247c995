"""Compiled blocks take the steps of plain ones, in training alone, and keep as little as they may."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.compilation import SINCE, compile_blocks, gain
from groundup.parallel.recompute import activations_kept

IDS, TARGETS = tiny.ids(3, 40), tiny.ids(3, 40, seed=1)
DOCUMENTS = torch.arange(40).div(13, rounding_mode="floor").repeat(3, 1)


pytestmark = pytest.mark.skipif(torch.__version__ < SINCE, reason=f"compiled layers need PyTorch {SINCE}")


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """What was compiled for another test is found again by its code, whatever it was compiled with."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def step(model: CustomLanguageModel, documents: torch.Tensor | None = None) -> tuple[float, list[torch.Tensor], int]:
    """Loss, gradients, and the bytes that the forward pass left for the backward pass, weights not counted."""
    with activations_kept(model) as kept:
        loss = model.loss_sum(IDS, TARGETS, documents) / TARGETS.numel()
    held = sum(kept.values())
    loss.backward()
    return loss.item(), [parameter.grad for parameter in model.parameters() if parameter.grad is not None], held


def assert_the_same(made: list[torch.Tensor], plain: list[torch.Tensor]) -> None:
    assert len(made) == len(plain) > 10
    for a, b in zip(made, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_same_step_and_nothing_else_is_compiled() -> None:
    plain, made = tiny.model(), tiny.model()
    names = [name for name, _ in made.named_parameters()]
    compile_blocks(made.model.layers)
    assert [name for name, _ in made.named_parameters()] == names
    assert all("forward" in vars(block) for block in made.model.layers)
    assert not any("forward" in vars(block) for block in plain.model.layers)
    with torch.no_grad():
        assert torch.equal(made(IDS)[0], plain(IDS)[0])
    assert not torch._dynamo.utils.counters["stats"]["unique_graphs"]
    loss, gradients, _ = step(made)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # for both blocks
    expected, theirs, _ = step(plain)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert_the_same(gradients, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [{"sliding_window": 9}, {"num_experts": 4}, {"qk_norm": True}], ids=str)
def test_of_every_shape(shape: dict[str, Any]) -> None:
    """Also with documents that do not see each other."""
    plain, made = tiny.model(**shape), tiny.model(**shape)
    compile_blocks(made.model.layers)
    loss, gradients, _ = step(made, DOCUMENTS)
    expected, theirs, _ = step(plain, DOCUMENTS)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert_the_same(gradients, theirs)


@pytest.mark.slow
def test_a_budget_of_memory_is_kept_and_changes_no_gradient() -> None:
    _, plain, all_of_it = step(tiny.model())
    held = []
    for budget in (1.0, 0.5, 0.1):
        torch._dynamo.reset()
        made = tiny.model()
        compile_blocks(made.model.layers, budget)
        _, gradients, kept = step(made)
        assert_the_same(gradients, plain)
        held.append(kept)
    assert all_of_it >= held[0] > held[1] > held[2]
    assert held[2] < 0.4 * held[0]


@pytest.mark.slow
def test_a_gain_is_measured_on_a_copy() -> None:
    model = tiny.model()
    block = model.model.layers[0]
    assert model.model.rotary is not None
    times = gain(block, [torch.randn(3, 40, 32), model.model.rotary(torch.arange(40)[None])])
    assert 0.1 < times < 100
    assert "forward" not in vars(block) and all(parameter.grad is None for parameter in block.parameters())


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(GroundupError, match=r"no C\+\+ compiler.*install g\+\+ or clang\+\+"):
        compile_blocks(tiny.model().model.layers)
