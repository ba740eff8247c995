"""Each optimizer moves parameters as PyTorch's own implementation does, and each parameter by the rule meant for it."""

import pytest
import torch
from torch import nn

import tiny
from groundup.training.adafactor import Adafactor
from groundup.training.configuration import OptimizerConfig
from groundup.training.muon import Muon, orthogonalise
from groundup.training.optimizer import make_optimizer


def gradients(parameters: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muon_moves_matrices_as_pytorchs_muon_does() -> None:
    """Tall, wide and square ones, several of a shape, five steps with decay."""
    shapes = [(24, 16), (16, 24), (16, 16), (24, 16)]
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    mine = Muon([{"params": ours, "muon": True, "weight_decay": 0.1}])
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        gradients(ours, step)
        gradients(theirs, step)
        mine.param_groups[0]["lr"] = 0.02
        mine.step()
        peer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=2e-3), (a - b).abs().max()  # five steps of .02, rounded to bf16


def test_muon_moves_each_experts_matrix_by_itself() -> None:
    """A mixture's stacks, as PyTorch's Muon moves their matrices one by one."""
    made = tiny.model(num_experts=3)
    stacks = [parameter for parameter in made.parameters() if parameter.dim() == 3]
    assert {tuple(stack.shape) for stack in stacks} == {(3, 96, 32), (3, 32, 48)}
    theirs = [[nn.Parameter(matrix.detach().clone()) for matrix in stack] for stack in stacks]
    mine = make_optimizer(OptimizerConfig(name="muon", weight_decay=0.1))(made)
    matrices = [matrix for stack in theirs for matrix in stack]
    peer = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        gradients(list(made.parameters()), step)
        for stack, parts in zip(stacks, theirs, strict=True):
            assert stack.grad is not None
            stack.grad *= torch.tensor([1.0, 10.0, 0.1])[:, None, None]  # orthogonalised together they'd drown
            for matrix, gradient in zip(parts, stack.grad, strict=True):
                matrix.grad = gradient.clone()
        for group in mine.param_groups:
            group["lr"] = 0.02
        mine.step()
        peer.step()
    for stack, parts in zip(stacks, theirs, strict=True):
        assert torch.allclose(stack, torch.stack(list(parts)), atol=2e-3)


@pytest.mark.parametrize("shape", [(3, 32, 20), (2, 20, 32), (1, 8, 8)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    result = orthogonalise(matrices)
    assert result.shape == shape
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.3
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    cosine = nn.functional.cosine_similarity(result.flatten(1), (u @ vh).flatten(1))
    assert cosine.min() > 0.95


def test_muon_trains_the_rest_as_adamw_does() -> None:
    ours, plain = tiny.model(), tiny.model()
    config = OptimizerConfig(name="muon", weight_decay=0.0)
    mine = make_optimizer(config)(ours)
    peer = torch.optim.AdamW(plain.parameters(), lr=0.01, betas=config.betas, eps=config.eps, weight_decay=0.0)
    for step in range(3):
        gradients(list(ours.parameters()), step)
        gradients(list(plain.parameters()), step)
        for group in mine.param_groups:
            group["lr"] = 0.01
        mine.step()
        peer.step()
    outer = 0
    for (name, a), b in zip(ours.named_parameters(), plain.parameters(), strict=True):
        same = torch.allclose(a, b, atol=1e-6)
        assert same == (a.dim() < 2 or "embed_tokens" in name or "lm_head" in name), name
        outer += same
    assert outer > 2


@pytest.mark.parametrize("name", ["adamw", "muon", "adafactor", "adamw_8bit"])
def test_decay_only_where_it_belongs(name: str) -> None:
    """No gradient, so only decay moves anything: gains never, hidden matrices always."""
    made = tiny.model()
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    optimizer = make_optimizer(OptimizerConfig(name=name, weight_decay=0.5))(made)  # type: ignore[arg-type]
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    for key, parameter in made.named_parameters():
        if "layers" in key and parameter.dim() == 2:
            assert torch.allclose(parameter, before[key] * 0.95), key
        elif parameter.dim() < 2:
            assert torch.equal(parameter, before[key]), key


def test_adafactor_moves_parameters_as_pytorchs_does() -> None:
    """Matrices, a stack of matrices, a vector, one that is 0 and one whose gradient is; twenty steps with decay."""
    generator = torch.Generator().manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(24, 16), (3, 8, 5), (7,), (4, 4)]]
    with torch.no_grad():
        ours[-1].zero_()
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    mine, peer = Adafactor([{"params": ours, "weight_decay": 0.1}]), torch.optim.Adafactor(theirs, weight_decay=0.1)
    for step in range(20):
        gradients(ours, step)
        gradients(theirs, step)
        ours[1].grad = theirs[1].grad = torch.zeros_like(ours[1]) if step % 2 else ours[1].grad
        for group in (*mine.param_groups, *peer.param_groups):
            group["lr"] = 0.3 / (1 + step)
        mine.step()
        peer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)
    for a, b in zip(ours, theirs, strict=True):
        assert mine.state[a].keys() == peer.state[b].keys()
        assert all(torch.allclose(mine.state[a][name], value, rtol=1e-5) for name, value in peer.state[b].items())


def test_adafactor_keeps_a_row_and_a_column() -> None:
    made = tiny.model()
    optimizer = make_optimizer(OptimizerConfig(name="adafactor"))(made)
    gradients(list(made.parameters()), 0)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    optimizer.step()
    for parameter in made.parameters():
        kept = sum(value.numel() for value in optimizer.state[parameter].values())
        assert kept <= sum(parameter.shape) + 1


def test_mup_slows_the_matrices_inside_the_layers_alone() -> None:
    """At four times the base width Adam's rate is a quarter there (arXiv 2203.03466, table 8)."""
    made = tiny.model(mup_base_width=8)
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    engine = tiny.engine(made, weight_decay=0.0)
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    for group in engine.optimizer.param_groups:
        group["lr"] = 0.01 * group["scale"]
    engine.optimizer.step()
    for name, parameter in made.named_parameters():
        expected = 0.0025 if "layers" in name and parameter.dim() == 2 else 0.01  # Adam's first step is the rate itself
        assert torch.allclose(before[name] - parameter, torch.full_like(parameter, expected), atol=1e-5), name
