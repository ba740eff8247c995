"""Parameter counts are the published ones and the built models', FLOPs are those counted, misfits are refused."""

import families
import pytest
import torch

import tiny
from groundup.model import attention
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel


def gpt2(layers: int, width: int, heads: int, **changes: object) -> LLMConfig:
    sizes = {"vocab_size": 50_257, "max_position_embeddings": 1024, "intermediate_size": 4 * width} | changes
    return LLMConfig.like(
        "gpt2",
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        **sizes,
    )


def rope(family, vocabulary, width, feed_forward, layers, heads, kv_heads, tied=False, **changes) -> LLMConfig:
    return LLMConfig.like(
        family,
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=16,
        tie_word_embeddings=tied,
        **changes,
    )


NO_BIASES = {"attention_bias": False, "mlp_bias": False, "norm_bias": False}
TINY_TEXT = NO_BIASES | {"vocab_size": 65}
PUBLISHED = {
    "GPT-2 small": (gpt2(12, 768, 12), 124_439_808),
    "GPT-2 medium": (gpt2(24, 1024, 16), 354_823_168),
    "GPT-2 large": (gpt2(36, 1280, 20), 774_030_080),
    "GPT-2 xl": (gpt2(48, 1600, 25), 1_557_611_200),
    "GPT-2 small without biases": (gpt2(12, 768, 12, **NO_BIASES), 124_337_664),
    "nanoGPT for a GPU": (gpt2(6, 384, 6, max_position_embeddings=256, **TINY_TEXT), 10_745_088),
    "nanoGPT for a CPU": (gpt2(4, 128, 4, max_position_embeddings=64, **TINY_TEXT), 804_096),
    "Llama-2-7B": (rope("llama", 32_000, 4096, 11_008, 32, 32, 32), 6_738_415_616),
    "Llama-3-8B": (rope("llama", 128_256, 4096, 14_336, 32, 32, 8), 8_030_261_248),
    "Llama-3.2-1B": (rope("llama", 128_256, 2048, 8192, 16, 32, 8, True), 1_235_814_400),
    "TinyLlama-1.1B": (rope("llama", 32_000, 2048, 5632, 22, 32, 4), 1_100_048_384),
    "SmolLM-135M": (rope("llama", 49_152, 576, 1536, 30, 9, 3, True), 134_515_008),
    "Mistral-7B": (rope("mistral", 32_000, 4096, 14_336, 32, 32, 8), 7_241_732_096),
    "Qwen2.5-0.5B": (rope("qwen2", 151_936, 896, 4864, 24, 14, 2, True), 494_032_768),
    "Qwen3-0.6B": (rope("qwen3", 151_936, 1024, 3072, 28, 16, 8, True, head_dim=128), 596_049_920),
    "Mixtral-8x7B": (rope("mixtral", 32_000, 4096, 14_336, 32, 32, 8), 46_702_792_704),
    "Qwen3-30B-A3B": (
        rope("qwen3_moe", 151_936, 2048, 6144, 48, 32, 4, head_dim=128, moe_intermediate_size=768),
        30_532_122_624,
    ),
}


def built(config: LLMConfig) -> int:
    with torch.device("meta"):
        model = CustomLanguageModel(config, seed=None)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_of_published_models(name: str) -> None:
    config, published = PUBLISHED[name]
    assert config.num_parameters == published
    assert built(config) == published


@pytest.mark.parametrize("shape", families.SHAPES)
def test_parameters_of_every_shape(shape: str) -> None:
    model = families.make(shape)
    assert model.config.num_parameters == sum(parameter.numel() for parameter in model.parameters())


def test_active_parameters() -> None:
    """The published 12.9 billion of Mixtral's 46.7, and 3.3 of Qwen3's 30.5."""
    assert PUBLISHED["Mixtral-8x7B"][0].num_active_parameters == 12_879_925_248
    assert PUBLISHED["Qwen3-30B-A3B"][0].num_active_parameters == pytest.approx(3.3e9, rel=0.02)
    dense = PUBLISHED["SmolLM-135M"][0]
    assert dense.num_active_parameters == dense.num_parameters


@pytest.mark.parametrize("shape", ["llama, larger heads", "mixtral", "qwen3 moe", "gpt2"])
def test_flops_per_token_against_counted_matmuls(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own counter over one training step with every pair of positions computed, as the formula counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr(attention, "attend_blockwise", lambda q, k, v, window, runs: attention.attend_eager(q, k, v))
    ours, length = families.make(shape, tie_word_embeddings=False), 64
    config = ours.config
    with FlopCounterMode(display=False) as counter:
        _, loss = ours(tiny.ids(1, length), tiny.ids(1, length))
        loss.backward()
    biases = 6 * sum(p.numel() for name, p in ours.named_parameters() if p.dim() == 1 and "norm" not in name)
    assert counter.get_total_flops() / length == pytest.approx(config.flops_per_token(length) - biases, rel=0.02)


@pytest.mark.parametrize(("tokens_per_second", "utilization"), [(5_762, 0.337), (6_667, 0.390)])
def test_mfu_as_torchtitan_reports_it(tokens_per_second: float, utilization: float) -> None:
    """Llama 3 8B at 8,192 tokens on H100s of 989 TFLOP/s (benchmarks/llama3_h100_202412): 33 and 39 %."""
    flops = PUBLISHED["Llama-3-8B"][0].flops_per_token(8_192)
    assert tokens_per_second * flops / 989e12 == pytest.approx(utilization, abs=0.001)


def test_flops_stop_growing_at_the_window() -> None:
    windowed, all_seen = families.make("mistral").config, families.make("llama").config
    assert windowed.flops_per_token(7) == all_seen.flops_per_token(7)
    assert windowed.flops_per_token(64) == windowed.flops_per_token(7) < all_seen.flops_per_token(64)
    some = families.make("qwen2, some layers slide").config
    growth = 12 * 4 * 8  # of one more token, in the one layer that sees it
    assert some.flops_per_token(40) - some.flops_per_token(39) == growth


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"hidden_size": 30}, "no multiple of 4 heads"),
        ({"hidden_size": 36}, "even head size, not 9"),
        ({"num_key_value_heads": 3}, "no multiple of 3 key-value heads"),
        ({"position_embedding": "learned", "rope_scaling": families.YARN}, "nothing to scale"),
        ({"layer_types": ["full_attention"]}, "1 entries, not 2"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding_window is not set"),
        ({"num_experts": 2, "num_experts_per_tok": 3}, "3 is above 2 experts"),
        ({"num_experts": 2, "gated_mlp": False}, "experts are gated"),
        ({"rope_scaling": families.LLAMA3 | {"high_freq_factor": 0.5}}, "must be above low_freq_factor"),
        ({"hidden_act": "tanh"}, "hidden_act"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        tiny.shape(**changes)


def test_heads_need_not_divide_the_width_where_their_size_is_given() -> None:
    assert tiny.shape(hidden_size=30, head_dim=8).num_parameters == built(tiny.shape(hidden_size=30, head_dim=8))
