"""A model in one call from a folder; Meta's interleaved rotary positions give the same logits as ours."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import tiny
from groundup.errors import GroundupError
from groundup.model import (
    CustomLanguageModel,
    LLMConfig,
    from_meta,
    from_pretrained,
    half_split,
    interleaved,
    save_pretrained,
)
from groundup.model.weights import save_model

CONFIG = LLMConfig(
    vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    intermediate_size=48, tie_word_embeddings=False,
)  # fmt: skip


def test_three_numbers_are_enough() -> None:
    config = LLMConfig(vocab_size=512, hidden_size=192, num_hidden_layers=2)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (3, 3, 64)
    assert config.intermediate_size == 512
    for width in (32, 100, 130, 200, 768, 1000):
        config = LLMConfig(vocab_size=512, hidden_size=width, num_hidden_layers=1)
        assert config.num_attention_heads * config.head_dim == width
    model = CustomLanguageModel(LLMConfig(vocab_size=61, hidden_size=32, num_hidden_layers=1))
    assert model(tiny.ids(1, 5))[0].shape == (1, 5, 61)


@pytest.mark.parametrize("save", [save_pretrained, lambda model, folder: save_model(folder, model)])
def test_a_saved_model_comes_back(save, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    made = CustomLanguageModel(CONFIG, seed=3)
    save(made, tmp_path)
    back = from_pretrained(str(tmp_path))
    assert not back.training
    assert torch.equal(back(tiny.ids(2, 9))[0], made(tiny.ids(2, 9))[0])


def meta_weights(config: LLMConfig) -> dict[str, Tensor]:
    """Large enough that attention is far from uniform: a wrong rotation is then seen in every logit."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int, std: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=generator) * std

    D, inner, K = config.hidden_size, config.intermediate_size, config.head_dim
    queries, keys = config.num_attention_heads * K, config.num_key_value_heads * K
    found = {"tok_embeddings.weight": draw(61, D), "norm.weight": 1 + draw(D, std=0.1), "output.weight": draw(61, D)}
    for layer in range(config.num_hidden_layers):
        shapes = {"attention.wq": (queries, D), "attention.wk": (keys, D), "attention.wv": (keys, D)}
        shapes |= {"attention.wo": (D, queries), "feed_forward.w1": (inner, D), "feed_forward.w2": (D, inner)}
        shapes |= {"feed_forward.w3": (inner, D)}
        for name, shape in shapes.items():
            found[f"layers.{layer}.{name}.weight"] = draw(*shape, std=1.5 * shape[-1] ** -0.5)
        for name in ("attention_norm", "ffn_norm"):
            found[f"layers.{layer}.{name}.weight"] = 1 + draw(D, std=0.1)
    return found


def meta_logits(weights: dict[str, Tensor], config: LLMConfig, ids_T: Tensor) -> Tensor:
    """A Llama as its paper has it, with neighbouring dimensions as complex numbers that are turned: [T, V]."""
    T, K = len(ids_T), config.head_dim
    angles = torch.outer(torch.arange(T), config.rope_theta ** -(torch.arange(0, K, 2) / K))
    turns_TC = torch.polar(torch.ones_like(angles), angles)

    def norm(x: Tensor, name: str) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt() * weights[f"{name}.weight"]

    def turned(x_THK: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x_THK.reshape(*x_THK.shape[:-1], K // 2, 2))
        return torch.view_as_real(pairs * turns_TC[:, None]).flatten(-2)

    x_TD = weights["tok_embeddings.weight"][ids_T]
    for layer in range(config.num_hidden_layers):
        h_TD, name = norm(x_TD, f"layers.{layer}.attention_norm"), f"layers.{layer}.attention"
        q_THK, k_TGK, v_TGK = ((h_TD @ weights[f"{name}.w{one}.weight"].T).view(T, -1, K) for one in "qkv")
        groups = config.num_attention_heads // config.num_key_value_heads
        k_THK, v_THK = turned(k_TGK).repeat_interleave(groups, 1), v_TGK.repeat_interleave(groups, 1)
        scores = torch.einsum("qhk,shk->hqs", turned(q_THK), k_THK) * K**-0.5
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
        y_TD = torch.einsum("hqs,shk->qhk", scores.softmax(-1), v_THK).flatten(1)
        x_TD = x_TD + y_TD @ weights[f"{name}.wo.weight"].T
        h_TD, name = norm(x_TD, f"layers.{layer}.ffn_norm"), f"layers.{layer}.feed_forward"
        gate, up = (h_TD @ weights[f"{name}.w{one}.weight"].T for one in "13")
        x_TD = x_TD + (F.silu(gate) * up) @ weights[f"{name}.w2.weight"].T
    return norm(x_TD, "norm") @ weights["output.weight"].T


def test_meta_s_interleaved_weights_are_converted() -> None:
    weights, ids = meta_weights(CONFIG), tiny.ids(1, 30)
    expected = meta_logits(weights, CONFIG, ids[0])
    converted = from_meta(weights | {"rope.freqs": torch.zeros(4)}, CONFIG)
    assert torch.allclose(converted(ids)[0][0], expected, atol=2e-3)
    for name in "qk":  # without the permutation the logits are others by far
        projection = getattr(converted.model.layers[0].self_attn, f"{name}_proj")  # type: ignore[union-attr]
        projection.weight.data = interleaved(projection.weight.data, CONFIG.head_dim)
    assert (converted(ids)[0][0] - expected).abs().max() > 0.5


def test_both_layouts_are_inverse_for_matrices_and_biases() -> None:
    for weight in (torch.arange(48.0).view(16, 3), torch.arange(16.0)):
        assert torch.equal(interleaved(half_split(weight, 8), 8), weight)
    assert half_split(torch.arange(8.0), 8).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


def test_other_tensors_are_refused() -> None:
    with pytest.raises(GroundupError, match=r"layers.0.attention.wz.weight is not one of a Llama"):
        from_meta(meta_weights(CONFIG) | {"layers.0.attention.wz.weight": torch.zeros(1)}, CONFIG)
