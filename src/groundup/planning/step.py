"""What a step computes besides its tokens' layers: a head that reads answers alone, and Muon's orthogonalisation."""

from groundup.model.configuration import LLMConfig
from groundup.training.configuration import OptimizerConfig


def row_flops(model: LLMConfig, tokens: float, answer_tokens: float, context: int) -> float:
    """Forward and backward over rows of `tokens` tokens in all, whose head is computed on answers alone."""
    head = 6 * model.vocab_size * model.hidden_size
    return tokens * (model.flops_per_token(context) - head) + answer_tokens * head


def muon_flops(model: LLMConfig, optimizer: OptimizerConfig) -> float:
    """Of one step, however many tokens it has; 0 for other optimizers.

    An iteration of Newton-Schulz on a matrix X of m x n, m <= n, is three matmuls: X X^T, its square, and that times X:
    4 m^2 n + 2 m^3 FLOPs (arXiv 2502.16982).
    """
    if optimizer.name != "muon":
        return 0.0
    width, queries = model.hidden_size, model.num_attention_heads * model.head_dim
    kv = model.num_key_value_heads * model.head_dim
    attention = [(width, queries), (width, queries), (width, kv), (width, kv)]
    inner = (3 if model.gated_mlp else 2) * [(width, model.intermediate_size)]
    experts = (3 if model.gated_mlp else 2) * [(width, model.moe_intermediate_size)] * max(1, model.num_experts)
    total = 0.0
    for layer in range(model.num_hidden_layers):
        for one, other in [*attention, *(experts if model.sparse(layer) else inner)]:
            m, n = sorted((one, other))
            total += 4 * m**2 * n + 2 * m**3
    return total * optimizer.iterations
