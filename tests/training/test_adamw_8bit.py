"""AdamW in 8 bits moves parameters as PyTorch's does, keeps what the paper keeps, and survives being written down."""

import pytest
import torch
from torch import Tensor, nn

import tiny
from groundup.parallel.single_device import SingleDevice
from groundup.training import adamw_8bit
from groundup.training.adamw_8bit import AVERAGES, AdamW8bit
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

SHAPE = (40, 250)  # the last block is not full


def trained(
    steps: int, *, spread: float = 1.0, betas: tuple[float, float] = (0.9, 0.95)
) -> tuple[Tensor, Tensor, Tensor]:
    """(start, ours, PyTorch's) after steps along gradients that have a direction, a size of their own, and noise."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(SHAPE, generator=generator)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = AdamW8bit([{"params": [ours], "weight_decay": 0.1}], betas=betas)
    peer = torch.optim.AdamW([theirs], lr=1e-2, betas=betas, weight_decay=0.1)
    mine.param_groups[0]["lr"] = 1e-2
    direction = torch.randn(SHAPE, generator=generator)
    size = torch.exp(spread * torch.randn(SHAPE, generator=generator))
    for _ in range(steps):
        ours.grad = size * (direction + torch.randn(SHAPE, generator=generator))
        theirs.grad = ours.grad.clone()
        mine.step()
        peer.step()
    return start, ours.detach(), theirs.detach()


@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.9, 0.999)])
def test_parameters_move_as_with_all_bits(betas: tuple[float, float]) -> None:
    """Where the gradients of a block differ by a factor of a hundred thousand, a tenth apart after fifty steps."""
    for spread, most in ((0.5, 0.03), (2.0, 0.12)):
        start, ours, theirs = trained(50, spread=spread, betas=betas)
        assert 0 < (ours - theirs).norm() <= most * (theirs - start).norm(), spread


def test_the_first_step_is_exact() -> None:
    """The averages are rounded after they were used."""
    _, ours, theirs = trained(1)
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_number_that_is_small_in_its_block_never_runs_away() -> None:
    """With a level at 0 its square would vanish and its mean be divided by eps."""
    weight = nn.Parameter(torch.zeros(64, 256))
    optimizer = AdamW8bit([{"params": [weight], "weight_decay": 0.0}])
    optimizer.param_groups[0]["lr"] = 1e-3
    for _ in range(30):
        weight.grad = torch.full_like(weight, 1e-5)
        weight.grad[:, 0] = 1.0
        optimizer.step()
    assert torch.allclose(weight[:, 0], torch.tensor(-0.03), rtol=0.05)
    assert 0 < -weight[:, 1:].min() <= 0.031  # Adam's own way at most; less, as its square is taken for more


def test_state_takes_two_bytes_a_number() -> None:
    weight = nn.Parameter(torch.randn(512, 256))
    optimizer = AdamW8bit([{"params": [weight], "weight_decay": 0.0}])
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    state = optimizer.state[weight].values()
    assert sum(value.nbytes for value in state) == 2 * weight.numel() + 2 * 4 * weight.numel() // 256 + 4


def test_what_was_kept_and_read_is_kept_again_byte_for_byte() -> None:
    """Blocks of all sizes, of zeros, with the largest number negative; so a resumed run is the run."""
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.zeros(SHAPE))
    optimizer = AdamW8bit([{"params": [weight], "weight_decay": 0.0}])
    for scale in torch.logspace(-25, 5, 31):
        weight.grad = scale * torch.randn(SHAPE, generator=generator)
        weight.grad[3:9] = 0
        weight.grad[20:24] *= -weight.grad[20:24].sign()
        optimizer.step()
        kept = {name: value.clone() for name, value in optimizer.state[weight].items()}
        optimizer.pack(weight, optimizer.unpacked(weight))
        assert kept.keys() == optimizer.state[weight].keys()
        assert all(torch.equal(value, optimizer.state[weight][name]) for name, value in kept.items())


def test_averages_are_near_those_with_all_bits() -> None:
    """A mean's error is at most half the widest step, that below 1; a square's about twice its root's, at the lower
    end of a decade."""
    generator = torch.Generator().manual_seed(2)
    weight = nn.Parameter(torch.zeros(SHAPE))
    optimizer = AdamW8bit([{"params": [weight], "weight_decay": 0.0}], betas=(0.0, 0.0))
    weight.grad = torch.randn(SHAPE, generator=generator)
    optimizer.step()
    found = optimizer.unpacked(weight)
    assert set(found) == {"step", *AVERAGES}
    blocks = nn.functional.pad(weight.grad.view(-1), (0, -weight.numel() % 256)).view(-1, 256)
    relative = (found["exp_avg"] - weight.grad).abs().view(-1) / blocks.abs().amax(1).repeat_interleave(256)[:10_000]
    assert relative.max() <= 1.5 * 0.9 / 64 / 2 + 1e-6
    squares = weight.grad.square()
    above = squares.view(-1) > 1e-3 * blocks.square().amax(1).repeat_interleave(256)[:10_000]
    error = ((found["exp_avg_sq"] - squares).abs() / squares).view(-1)[above]
    assert error.max() <= 2.2 * (0.9 / 64 / 2) / 0.1  # roots above .03, in a decade of 64 parts


def test_small_parameters_keep_all_bits() -> None:
    gain = nn.Parameter(torch.ones(300))
    optimizer = AdamW8bit([{"params": [gain], "weight_decay": 0.0}])
    gain.grad = torch.linspace(-1, 1, 300)
    optimizer.step()
    assert torch.allclose(optimizer.unpacked(gain)["exp_avg"], 0.1 * gain.grad, rtol=1e-6)
    optimizer.pack(gain, optimizer.unpacked(gain))
    assert torch.allclose(optimizer.unpacked(gain)["exp_avg"], 0.1 * gain.grad, rtol=1e-6)


def test_what_had_no_state_when_it_was_saved_has_none_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parameter that has not moved yet begins with its first step, whatever the engine had before."""
    monkeypatch.setattr(adamw_8bit, "LEAST", 1)
    engines = [
        SingleDevice(tiny.model(seed), make_optimizer(OptimizerConfig(name="adamw_8bit")), torch.device("cpu"), "fp32")
        for seed in (0, 1)
    ]
    moved = "lm_head.weight" if "lm_head.weight" in dict(engines[0].model.named_parameters()) else "model.norm.weight"
    weight = dict(engines[0].model.named_parameters())[moved]
    weight.grad = torch.ones_like(weight)
    engines[0].optimizer.step()
    engines[0].optimizer.zero_grad()
    engines[1].restore(engines[0].state())
    names = {id(parameter): name for name, parameter in engines[1].model.named_parameters()}
    assert [names[id(parameter)] for parameter in engines[1].optimizer.state] == [moved]
    assert engines[0].state().keys() == engines[1].state().keys()
