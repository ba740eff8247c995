"""Mixture of experts: each token goes through the few feed-forward parts that a router picks for it.

    p = softmax(router x);  y = sum over the k largest p_e of w_e expert_e(x),  w = p or p / sum of the k

As Mixtral (arXiv 2401.04088) and Qwen3-MoE compute it. Dropless: tokens are sorted by expert, so an expert takes as
many as come and none is dropped (arXiv 2211.15841). Suffixes: N tokens, E experts, D width, I inner width.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig


class Experts(nn.Module):
    """The experts' matrices, stacked as transformers 5 holds them: gate and up in one, [E, 2 I, D], and [E, D, I]."""

    def __init__(self, config: LLMConfig, act: nn.Module) -> None:
        super().__init__()
        E, D, inner = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(E, 2 * inner, D))
        self.down_proj = nn.Parameter(torch.empty(E, D, inner))
        self.act = act
        self.compute: Callable[[Experts, Tensor, Tensor], Tensor] = compute_here  # expert parallelism sets another

    def forward(self, x_ND: Tensor, counts_E: Tensor) -> Tensor:
        """[N, D]: rows sorted by expert, `counts_E[e]` for expert e, each through its expert."""
        return self.compute(self, x_ND, counts_E)


def compute_here(experts: Experts, x_ND: Tensor, counts_E: Tensor) -> Tensor:
    """`Experts.forward` where all experts are in this process."""
    return expert_mlps(x_ND, counts_E, experts.gate_up_proj, experts.down_proj, experts.act)


class SparseMLP(nn.Module):
    """A router and its experts instead of a dense feed-forward part."""

    def __init__(self, config: LLMConfig, act: nn.Module) -> None:
        super().__init__()
        self.per_token, self.normalise = config.num_experts_per_tok, config.norm_topk_prob
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = Experts(config, act)

    def forward(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """(output [B, T, D], the router's logits [N, E] in float32)."""
        x_ND = x_BTD.flatten(0, 1)
        with torch.autocast(x_ND.device.type, enabled=False):  # small differences decide which expert it is
            routing_NE = F.linear(x_ND.float(), self.gate.weight.float())
        weights_Nk, chosen_Nk = routing_NE.softmax(-1).topk(self.per_token, dim=-1)
        if self.normalise:
            weights_Nk = weights_Nk / weights_Nk.sum(-1, keepdim=True)
        order = chosen_Nk.flatten().argsort(stable=True)  # (token, choice) pairs by expert
        tokens = order // self.per_token
        counts_E = torch.zeros(routing_NE.shape[1], dtype=torch.long, device=tokens.device)
        counts_E.scatter_add_(0, chosen_Nk.flatten(), torch.ones_like(order))  # compiles, where bincount does not
        y = self.experts(x_ND[tokens], counts_E) * weights_Nk.flatten()[order][:, None]
        out_ND = torch.zeros(x_ND.shape, dtype=y.dtype, device=y.device).index_add(0, tokens, y)
        return out_ND.to(x_BTD.dtype).view_as(x_BTD), routing_NE


def expert_mlps(x_ND: Tensor, counts_E: Tensor, gate_up_EFD: Tensor, down_EDI: Tensor, act: nn.Module) -> Tensor:
    """down(act(gate x) * up x), each group of rows by its expert's matrices, [N, D]; rows are sorted by expert."""
    gate, up = grouped_linear(x_ND, gate_up_EFD, counts_E).chunk(2, dim=-1)
    return grouped_linear(act(gate) * up, down_EDI, counts_E)


def grouped_linear(x_ND: Tensor, weight_EFD: Tensor, counts_E: Tensor) -> Tensor:
    """Each group of rows times its expert's matrix, [N, F]; rows are sorted by expert.

    On CUDA in bfloat16 one grouped matmul; elsewhere one matmul per expert, in which a CPU loses nothing.
    """
    if x_ND.device.type == "cuda":
        if torch.is_autocast_enabled("cuda"):  # which the grouped kernel doesn't know
            dtype = torch.get_autocast_dtype("cuda")
            x_ND, weight_EFD = x_ND.to(dtype), weight_EFD.to(dtype)
        if x_ND.dtype == torch.bfloat16:
            return grouped_matmul(x_ND, weight_EFD, counts_E)
    parts = zip(torch.split(x_ND, counts_E.tolist()), weight_EFD, strict=True)
    return torch.cat([F.linear(rows, weight_FD) for rows, weight_FD in parts])


def grouped_matmul(x_ND: Tensor, weight_EFD: Tensor, counts_E: Tensor) -> Tensor:
    """The same by PyTorch's grouped kernel, which asks for no counts on the CPU."""
    ends_E = counts_E.cumsum(0).to(torch.int32)
    return F.grouped_mm(x_ND, weight_EFD.transpose(1, 2), offs=ends_E)


def routing_sums(routing_NE: Tensor, per_token: int, valid_N: Tensor | None = None) -> Tensor:
    """What the load-balancing loss is made of, [3, E]: how often each expert was chosen, the sum of its probabilities,
    and the number of tokens. Those of all layers, and of all parts of a batch, are added up.

    Args:
        routing_NE: a layer's router logits.
        valid_N: bool, tokens that count; None: all.
    """
    probabilities_NE = routing_NE.float().softmax(-1)
    chosen_Nk = routing_NE.topk(per_token, dim=-1).indices
    chosen_NE = torch.zeros_like(probabilities_NE).scatter_(1, chosen_Nk, 1.0)
    counted_NE = torch.ones_like(probabilities_NE)
    if valid_N is not None:
        counted_NE = counted_NE * valid_N[:, None]
    return torch.stack([(of_NE * counted_NE).sum(0) for of_NE in (chosen_NE, probabilities_NE, counted_NE)])


def load_balancing_loss(sums_3E: Tensor) -> Tensor:
    """E x sum over experts of (fraction of choices) x (mean probability), over all layers' tokens together.

    Equations 4 to 6 of arXiv 2101.03961 as transformers computes them: `per_token` where all experts are used alike.
    """
    chosen_E, probability_E, tokens_E = sums_3E
    return len(tokens_E) * (chosen_E / tokens_E * probability_E / tokens_E).sum()
