"""Muon: momentum whose matrices are orthogonalised before they are applied (Jordan et al. 2024, Moonlight 2502.16982).

Every direction of a weight matrix is moved equally far, where Adam moves mostly along the few that dominate the
gradient. Matrices of one shape are orthogonalised together in one batched matmul: a small model has many small
matrices, and one call for each would cost more than the arithmetic. A mixture holds its experts' matrices as one
parameter [E, R, C], which is such a batch already: each expert's is orthogonalised by itself.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.optim.adamw import adamw

# Iterations a x + b x^3 + c x^5 that drive singular values to about 1. Five times one quintic (Jordan): .7 to 1.2.
# Fewer of different ones, each the minimax polynomial of the interval that the one before it leaves (Polar Express,
# arXiv 2505.16932), here begun at [.01, 1] and [.02, 1]: what lies there ends in .99 to 1.01 and .91 to 1.09.
Iterations = Literal[3, 4, 5]
COEFFICIENTS: dict[Iterations, tuple[tuple[float, float, float], ...]] = {
    3: ((7.7110, -22.1138, 16.2487), (3.2153, -2.4112, 0.5013), (2.2183, -1.5940, 0.4107)),
    4: (
        (8.0934, -23.6204, 17.4462),
        (3.6366, -2.7219, 0.5365),
        (2.6613, -1.9772, 0.4526),
        (1.9562, -1.3375, 0.3839),
    ),
    5: ((3.4445, -4.7750, 2.0315),) * 5,
}
FIRST_MOMENTUM = 0.85  # where the momentum's warm-up begins
UPDATE_RMS = 0.2  # of an orthogonalised update, so that AdamW's learning rate and decay fit (Moonlight, section 2.2)


class Muon(torch.optim.Optimizer):
    """Muon for the groups marked `muon`, AdamW for the others.

    With the update's root mean square set to that of AdamW's, one learning rate serves both kinds of groups.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float = 0.95,
        momentum_warmup: int = 0,
        cautious: bool = False,
        iterations: Iterations = 5,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        fused: bool = False,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """Each group has `params`, `muon` (bool; only matrices and stacks of them then) and `weight_decay`.

        Args:
            momentum_warmup: steps in which the momentum rises linearly from .85 (modded-nanogpt).
            cautious: decay only the numbers that the update moves towards 0 (arXiv 2510.12402).
            iterations: of the orthogonalisation.
            fused: AdamW's.
            dtype: the precision of the matmuls that orthogonalise.
        """
        super().__init__(groups, {"lr": 0.0, "momentum": momentum, "betas": betas, "eps": eps, "fused": fused})
        self.momentum_warmup, self.cautious, self.iterations, self.dtype = momentum_warmup, cautious, iterations, dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "the gradients are there already"
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            if group["muon"]:
                self._orthogonal_step(group, parameters)
            else:
                self._adamw_step(group, parameters)

    def _orthogonal_step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
                if self.momentum_warmup:
                    state["step"] = torch.zeros((), dtype=torch.float32)  # on the CPU: it is read each step
            by_shape[tuple(parameter.shape)].append(parameter)
        for shape, same in by_shape.items():
            gradients = [p.grad for p in same if p.grad is not None]
            momenta = [self.state[p]["momentum"] for p in same]
            momentum = self._momentum(group["momentum"], same)
            torch._foreach_lerp_(momenta, gradients, 1 - momentum)
            nesterov = [gradient.clone() for gradient in gradients]  # in place: PyTorch 2.11 can't else, where sharded
            torch._foreach_lerp_(nesterov, momenta, momentum)
            if len(shape) == 2:
                updates = list(orthogonal(torch.stack(nesterov), self.dtype, self.iterations).unbind())
            else:
                updates = [orthogonal(stack_ERC, self.dtype, self.iterations, experts=True) for stack_ERC in nesterov]
            decay = group["lr"] * group["weight_decay"]
            if decay and self.cautious:
                towards_0 = torch._foreach_mul(updates, same)
                torch._foreach_addcmul_(same, same, [(sign > 0).to(sign.dtype) for sign in towards_0], value=-decay)
            elif decay:
                torch._foreach_mul_(same, 1 - decay)
            rate = group["lr"] * UPDATE_RMS * max(shape[-2:]) ** 0.5
            torch._foreach_add_(same, updates, alpha=-rate)

    def _momentum(self, full: float, parameters: list[Tensor]) -> float:
        """Of this step, which is counted in each parameter's state, so that a resumed run has the same."""
        if not self.momentum_warmup:
            return full
        steps = [self.state[parameter]["step"] for parameter in parameters]
        done = min(1.0, steps[0].item() / self.momentum_warmup)
        torch._foreach_add_(steps, 1.0)
        return FIRST_MOMENTUM + (full - FIRST_MOMENTUM) * done

    def _adamw_step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            [p.grad for p in parameters if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonal(matrices_NRC: Tensor, dtype: torch.dtype, iterations: Iterations = 5, experts: bool = False) -> Tensor:
    """`orthogonalise` in a given precision.

    Where processes have parts of each matrix, they exchange these for some of the matrices whole, orthogonalise those
    and exchange again: two all-to-alls, and nothing is computed twice. Processes that have whole experts send nothing.

    Args:
        experts: the matrices are one parameter, spread as that is, and not stacked from several.
    """
    if not isinstance(matrices_NRC, DTensor):
        return orthogonalise(matrices_NRC.to(dtype), iterations).to(matrices_NRC.dtype)
    mesh = matrices_NRC.device_mesh
    some = matrices_NRC.redistribute(placements=[Shard(0)] * mesh.ndim)
    updates = orthogonalise(some.to_local().to(dtype), iterations).to(matrices_NRC.dtype)
    shape, stride = matrices_NRC.shape, matrices_NRC.stride()
    whole = DTensor.from_local(updates, mesh, some.placements, run_check=False, shape=shape, stride=stride)
    parts = list(matrices_NRC.placements)
    if not experts:  # a stack may have been cut along its length, where all processes of a dimension hold the same
        parts = [Replicate() if placement.is_shard(0) else placement for placement in parts]
    return whole.redistribute(placements=parts)


def orthogonalise(matrices_NRC: Tensor, iterations: Iterations = 5) -> Tensor:
    """The nearest semi-orthogonal matrix of each, U V^T of its singular value decomposition, roughly: [N, R, C].

    Newton-Schulz iteration: where singular values end (`COEFFICIENTS`) training does not notice, nor bf16.
    """
    x = matrices_NRC
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for a, b, c in COEFFICIENTS[iterations]:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
