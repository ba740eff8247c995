"""Muon's options: which parameters have which rate, and what momentum, decay and iterations do."""

import pytest
import torch
from torch import nn

import tiny
from groundup.model.configuration import FAST
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.muon import Iterations, Muon, orthogonalise
from groundup.training.optimizer import STREAM, VALUES, make_optimizer


def test_each_kind_of_parameter_has_its_rate() -> None:
    made = tiny.model(**FAST, tie_word_embeddings=False)
    config = OptimizerConfig(
        name="muon", matrix_scale=2, embedding_scale=3, head_scale=5, vector_scale=7, scalar_scale=11
    )
    scales = {
        id(parameter): (group["scale"], group["muon"])
        for group in make_optimizer(config)(made).param_groups
        for parameter in group["params"]
    }
    expected = {
        "model.embed_tokens.weight": (3, False),
        "model.layers.1.self_attn.value_embedding.table.weight": (3 * VALUES, False),
        "model.layers.1.self_attn.value_embedding.gate.weight": (2, True),
        "model.layers.0.self_attn.q_proj.weight": (2, True),
        "model.layers.0.mlp.down_proj.weight": (2, True),
        "model.layers.0.self_attn.q_norm.weight": (7, False),
        "model.layers.0.scalars.first": (11, False),
        "model.layers.0.scalars.stream": (11 * STREAM, False),
        "model.smear.scale": (11, False),
        "model.backout": (11, False),
        "lm_head.weight": (5, False),
    }
    named = dict(made.named_parameters())
    assert {name: scales[id(named[name])] for name in expected} == expected
    assert len(scales) == len(named)


@pytest.mark.parametrize(("iterations", "low", "high"), [(3, 0.9, 1.1), (4, 0.98, 1.02), (5, 0.65, 1.25)])
def test_singular_values_end_near_1(iterations: Iterations, low: float, high: float) -> None:
    """Of a matrix whose singular values are a fiftieth to all of its norm."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(n, 24, generator=generator))[0] for n in (24, 40))
    s = torch.logspace(-1.6, 0, 24)
    s[0] = 1.0
    s = s / s.norm()
    assert s.min() > 0.02 * 0.4
    found = torch.linalg.svdvals(orthogonalise((u * s.clamp(min=0.02)) @ v.T[None], iterations)[0])
    assert low < found.min() and found.max() < high


def test_momentum_rises_and_a_resumed_run_has_the_same() -> None:
    """Four steps against two, a restored state, and two more; the warm-up ends after the third."""
    config = OptimizerConfig(name="muon", momentum_warmup=3)

    def engine() -> SingleDevice:
        return SingleDevice(tiny.model(), make_optimizer(config), torch.device("cpu"), "fp32")

    def step(engine: SingleDevice, number: int) -> None:
        ids = tiny.ids(2, 9, seed=number)
        engine.train_step([ids], [16], lambda model, rows: (model.loss_sum(rows[:, :-1], rows[:, 1:]), {}), 0.01, 1.0)

    whole, first, second = engine(), engine(), engine()
    momenta = []
    for number in range(4):
        step(whole, number)
        group = next(group for group in whole.optimizer.param_groups if group["muon"])
        assert isinstance(whole.optimizer, Muon)
        counted = whole.optimizer.state[group["params"][0]]["step"].item()
        momenta.append(0.85 + 0.1 * min(1.0, (counted - 1) / 3))
    assert momenta == pytest.approx([0.85, 0.85 + 0.1 / 3, 0.85 + 0.2 / 3, 0.95])
    for number in range(2):
        step(first, number)
    second.restore(first.state())
    for number in range(2, 4):
        step(second, number)
    for ours, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_momentum_below_its_warm_up_moves_as_that_momentum() -> None:
    """The first steps of a long warm-up are those of a Muon with .85."""
    moved = []
    for options in ({"momentum": 0.95, "momentum_warmup": 10**9}, {"momentum": 0.85}):
        parameter = nn.Parameter(torch.eye(4))
        muon = Muon([{"params": [parameter], "muon": True, "weight_decay": 0.0}], **options)  # type: ignore[arg-type]
        for step in range(3):
            parameter.grad = torch.randn(4, 4, generator=torch.Generator().manual_seed(step))
            muon.param_groups[0]["lr"] = 0.1
            muon.step()
        moved.append(parameter.detach())
    assert torch.allclose(*moved, atol=1e-6)


def test_cautious_decay_takes_only_what_the_step_moves_towards_0() -> None:
    """Against the formula of arXiv 2510.12402, number by number."""
    generator = torch.Generator().manual_seed(0)
    start, gradient = torch.randn(4, 4, generator=generator), torch.randn(4, 4, generator=generator)
    after = {}
    for decay in (0.0, 0.5):
        parameter = nn.Parameter(start.clone())
        group = {"params": [parameter], "muon": True, "weight_decay": decay}
        muon = Muon([group], cautious=True, dtype=torch.float32)
        parameter.grad = gradient.clone()
        muon.param_groups[0]["lr"] = 0.1
        muon.step()
        after[decay] = parameter.detach()
    shrunk = (start - after[0.0]) * start > 0  # the step goes against the weight's sign
    assert 0 < shrunk.sum() < 16
    assert torch.allclose(after[0.0] - after[0.5], 0.1 * 0.5 * start * shrunk, atol=1e-6)
