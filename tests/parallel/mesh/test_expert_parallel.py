"""Experts spread over processes: no token is dropped, and gradients, balance, weights and state are those of one."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

import ranks
import tiny
from curves import Curve, Training, alone, expected, steps
from groundup.model.experts import Experts, load_balancing_loss, routing_sums
from groundup.parallel.checkpointing.part import Part
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.mesh.experts import exchange, spread, summed
from groundup.parallel.recompute import checkpoint_blocks
from groundup.training.optimizer import make_optimizer

SPARSE = Training(shape={"num_experts": 4, "router_aux_loss_coef": 0.1})


def made(counts: list[int], seed: int) -> tuple[Experts, Tensor, Tensor]:
    """(experts, rows sorted by expert in float64, what their results are multiplied by)."""
    experts = tiny.model(num_experts=len(counts)).model.layers[0].mlp.experts.double()
    generator = torch.Generator().manual_seed(seed)
    x, direction = (torch.randn(sum(counts), 32, generator=generator, dtype=torch.float64) for _ in range(2))
    return experts, x.requires_grad_(), direction


# rows for each of four experts, by process; an expert without rows, a process without rows, all for one expert
CASES = [
    [[3, 0, 2, 1], [1, 0, 0, 4]],
    [[0, 0, 0, 0], [2, 1, 0, 3]],
    [[0, 0, 7, 0], [0, 0, 5, 0]],
    [[2, 0, 0, 0], [0, 0, 0, 2]],
]


def spread_experts_differ_by() -> float:
    """The largest difference from all experts in one process: results, gradients of rows and of this rank's experts."""
    rank, worst = dist.get_rank(), 0.0
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("ep",))
    for case in CASES:
        weights = [torch.zeros_like(matrix) for matrix in made(case[0], 0)[0].parameters()]
        for other in range(2):  # what each process's rows alone give
            experts, x, direction = made(case[other], other)
            y = experts(x, torch.tensor(case[other]))
            dx, *parts = torch.autograd.grad((y * direction).sum(), (x, *experts.parameters()))
            weights = [total + part for total, part in zip(weights, parts, strict=True)]
            if other == rank:
                expected = [y.detach(), dx]
        experts, x, direction = made(case[rank], rank)
        spread(experts, mesh)
        y = experts(x, torch.tensor(case[rank]))
        (y * direction).sum().backward()
        mine = slice(2 * rank, 2 * rank + 2)
        found = [y.detach(), x.grad, *(matrix.grad.to_local() * 2 for matrix in experts.parameters())]
        wanted = [*expected, *(weight[mine] for weight in weights)]
        worst = max([worst, *((a - b).abs().max().item() for a, b in zip(found, wanted, strict=True) if a.numel())])
    return worst


def test_rows_go_to_their_experts_and_back() -> None:
    """In float64, uneven or none at all; gradients of weights are divided by `ep`, as data parallel wants them."""
    assert max(ranks.run(2, spread_experts_differ_by)) < 1e-12


def derivatives_hold() -> bool:
    rank, group = dist.get_rank(), dist.group.WORLD
    assert group is not None
    sent, received = [[1, 2], [0, 3]][rank], [[1, 0], [2, 3]][rank]
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    out = exchange(x, sent, received, group)
    back = exchange(out, received, sent, group)
    assert torch.equal(back, x)
    (2 * back).sum().backward()
    assert x.grad is not None
    whole = summed(x, group)
    (gradient,) = torch.autograd.grad((whole * (rank + 1)).sum(), x)
    return bool((x.grad == 2).all() and (gradient == 3).all())


def test_what_is_sent_comes_back_with_its_gradient() -> None:
    assert all(ranks.run(2, derivatives_hold))


def balances() -> tuple[float, Tensor]:
    """This rank's loss, and its gradient, of routing of which rank 0 holds five rows and rank 1 three."""
    routing, group = routed(), dist.group.WORLD
    assert group is not None
    mine = [layer[:5] if dist.get_rank() == 0 else layer[5:] for layer in routing]
    mine = [layer.clone().requires_grad_() for layer in mine]
    loss = load_balancing_loss(summed(sums_of(mine), group))
    (loss * len(mine[0])).backward()  # as `loss_sum` weighs it: by the tokens here
    return loss.item(), torch.cat([layer.grad for layer in mine if layer.grad is not None])


def sums_of(routing: list[Tensor]) -> Tensor:
    return torch.stack([routing_sums(layer, 2) for layer in routing]).sum(0)


def routed() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, 4, generator=generator) for _ in range(2)]


def test_the_balance_is_of_all_tokens() -> None:
    layers = [layer.requires_grad_() for layer in routed()]
    loss = load_balancing_loss(sums_of(layers))
    (loss * 8).backward()
    (first, head), (second, tail) = ranks.run(2, balances)
    assert first == second == pytest.approx(loss.item(), abs=1e-6)
    gradients = [layer.grad for layer in layers if layer.grad is not None]
    assert torch.allclose(torch.cat([gradients[0][:5], gradients[1][:5]]), head, atol=1e-6)
    assert torch.allclose(torch.cat([gradients[0][5:], gradients[1][5:]]), tail, atol=1e-6)


def engine_of(parallel: ParallelConfig, recompute: str = "none", **shape: Any) -> MeshEngine:
    model = tiny.model(spread=0.1, **(SPARSE.shape | shape))
    checkpoint_blocks(model.model.layers, recompute)  # type: ignore[arg-type]
    return MeshEngine(model, make_optimizer(SPARSE.optimizer), parallel, "fp32")


def train(parallel: ParallelConfig, recompute: str) -> Curve:
    return steps(engine_of(parallel, recompute), SPARSE)


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_tokens_that_are_sent_again_in_the_backward_pass(mode: str) -> None:
    curve, _ = ranks.run(2, train, ParallelConfig(dp_shard=2, ep=2), mode)
    assert curve.distance(expected(SPARSE)) < 1e-5


def half_way(parallel: ParallelConfig) -> tuple[dict[str, Tensor], dict[str, Tensor], Curve, Part]:
    """(state after four steps, the whole model then, the curve of the next three from a fresh engine, what this
    process saves of a matrix)."""
    engine = engine_of(parallel)
    steps(engine, SPARSE, range(4))
    state = engine.state()
    with engine.whole() as model:
        whole = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    fresh = engine_of(parallel)
    fresh.restore(state)
    saved = engine.snapshot()["model.model.layers.1.mlp.experts.down_proj"]
    return state, whole, steps(fresh, SPARSE, range(4, 7)), saved


def test_state_is_that_of_one_process() -> None:
    """Canonical names and whole experts; each process keeps a quarter of them."""
    single = alone(SPARSE)
    steps(single, SPARSE, range(4))
    wanted = {name: tensor.clone() for name, tensor in single.state().items()}
    curve = steps(single, SPARSE, range(4, 7))
    (state, whole, _, _), *others = ranks.run(4, half_way, ParallelConfig(dp_shard=4, ep=2))
    assert state.keys() == wanted.keys()
    assert max((state[name].float() - wanted[name].float()).abs().max().item() for name in wanted) < 1e-5
    assert not any(other[0] for other in others)
    name = "model.layers.1.mlp.experts.down_proj"
    assert all(torch.equal(weight, state[f"model.{key}"]) for key, weight in whole.items())
    assert [other[3].offsets for other in others] == [(2, 0, 0), (0, 16, 0), (2, 16, 0)]
    assert torch.equal(others[2][3].local, whole[name][2:, 16:])
    assert all(other[2].distance(curve) < 1e-5 for other in others)
