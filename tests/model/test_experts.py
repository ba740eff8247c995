"""Grouped matmuls equal one matmul per expert, nothing is dropped, and the balance is transformers'."""

import families
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.model.experts import SparseMLP, grouped_linear, grouped_matmul, load_balancing_loss, routing_sums


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 9))
def test_grouped_matmuls(counts: list[int], seed: int) -> None:
    """Experts without a token, and the kernel for GPUs, which PyTorch has on a CPU too."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(counts), 16, generator=generator, requires_grad=True)
    weight = torch.randn(len(counts), 24, 16, generator=generator, requires_grad=True)
    direction = torch.randn(sum(counts), 24, generator=generator)
    owners = [expert for expert, count in enumerate(counts) for _ in range(count)]
    expected = torch.stack([weight[expert] @ row for expert, row in zip(owners, x, strict=True)]) if owners else None
    kernels = (grouped_linear, grouped_matmul) if owners else (grouped_linear,)
    for kernel in kernels:
        found = kernel(x, weight, torch.tensor(counts))
        assert found.shape == direction.shape
        if expected is not None:
            assert torch.allclose(found, expected, atol=1e-5)
            ours = torch.autograd.grad((found * direction).sum(), (x, weight), retain_graph=True)
            theirs = torch.autograd.grad((expected * direction).sum(), (x, weight), retain_graph=True)
            assert tiny.largest_difference(ours, theirs) < 1e-4


def test_no_token_is_dropped_however_uneven_the_choice() -> None:
    """All tokens want the same two of four experts: each still gets both, with its weights."""
    ours = families.make("mixtral")
    sparse = ours.model.layers[0].mlp
    assert isinstance(sparse, SparseMLP)
    x = torch.rand(2, 9, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sparse.gate.weight.zero_()
        sparse.gate.weight[2], sparse.gate.weight[1] = 1.0, 0.5
    found, routing = sparse(x)
    assert routing.argsort(descending=True)[:, :2].tolist() == [[2, 1]] * 18
    weights = routing[:, [2, 1]].softmax(-1).view(2, 9, 2)
    expected = torch.zeros_like(x)
    for choice, expert in enumerate((2, 1)):
        gate, up = (x @ sparse.experts.gate_up_proj[expert].T).chunk(2, -1)
        down = (torch.nn.functional.silu(gate) * up) @ sparse.experts.down_proj[expert].T
        expected = expected + weights[..., choice : choice + 1] * down
    assert torch.allclose(found, expected, atol=1e-5)
    found.sum().backward()
    assert not sparse.experts.down_proj.grad[[0, 3]].any()
    assert sparse.experts.down_proj.grad[[1, 2]].any()


def test_the_router_works_in_float32_under_autocast() -> None:
    ours = families.make("mixtral")
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(0))
    sparse = ours.model.layers[0].mlp
    with torch.autocast("cpu", torch.bfloat16):
        out, routing = sparse(x)
    assert routing.dtype == torch.float32
    assert torch.equal(routing, sparse(x)[1])
    assert out.dtype == x.dtype
    assert torch.allclose(out, sparse(x)[0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("experts", "per_token"), [(4, 1), (4, 2), (7, 3)])
def test_load_balancing_loss_is_that_of_transformers(experts: int, per_token: int, padded: bool) -> None:
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    generator = torch.Generator().manual_seed(experts)
    routing = [torch.randn(30, experts, generator=generator).requires_grad_() for _ in range(3)]
    mask = (torch.arange(10) < torch.tensor([10, 4, 7])[:, None]) if padded else None
    valid_N = None if mask is None else mask.flatten()
    sums_3E = torch.stack([routing_sums(logits, per_token, valid_N) for logits in routing]).sum(0)
    found = load_balancing_loss(sums_3E)
    expected = load_balancing_loss_func(tuple(routing), experts, per_token, None if mask is None else mask.long())
    assert torch.allclose(found, expected, atol=1e-6)
    ours, theirs = torch.autograd.grad(found, routing), torch.autograd.grad(expected, routing)
    assert tiny.largest_difference(ours, theirs) < 1e-7
    even = torch.zeros(8, 4) + torch.eye(4).repeat(2, 1) * 1e-9
    assert load_balancing_loss(routing_sums(even, 1)).item() == pytest.approx(1)
