"""The dial: published models have their published parameter counts, and every rule holds at its corners."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.blueprint.configuration import Blueprint
from groundup.model.configuration import LLMConfig
from groundup.planning.size import (
    SHARES,
    batch_tokens_for,
    derive,
    feed_forward_for,
    heads_for,
    kv_heads_for,
    learning_rate_for,
    llm_config,
    parameters_of,
    shape_for,
)
from groundup.training.configuration import ModelShape


def blueprint(size="4M", vocabulary=4096, **pretrain) -> Blueprint:
    return Blueprint.model_validate(
        {
            "size": size,
            "tokenizer": {"vocabulary": vocabulary},
            "curate": {"sources": [{"kind": "python-docs"}]},
            "pretrain": pretrain,
        }
    )


def values(plan: Blueprint) -> dict[str, float]:
    return {path: one.value for path, one in derive(plan).items()}


@pytest.mark.parametrize(
    ("name", "published", "vocabulary", "width", "feed_forward", "layers", "heads", "kv_heads", "tied"),
    [
        ("Llama-2-7B", 6_738_415_616, 32_000, 4096, 11_008, 32, 32, 32, False),
        ("Llama-3-8B", 8_030_261_248, 128_256, 4096, 14_336, 32, 32, 8, False),
        ("Llama-3.2-1B", 1_235_814_400, 128_256, 2048, 8192, 16, 32, 8, True),
        ("TinyLlama-1.1B", 1_100_048_384, 32_000, 2048, 5632, 22, 32, 4, False),
        ("SmolLM-135M", 134_515_008, 49_152, 576, 1536, 30, 9, 3, True),
    ],
)
def test_published_parameter_counts(name, published, vocabulary, width, feed_forward, layers, heads, kv_heads, tied):
    model = LLMConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
    )
    assert model.num_parameters == published, name


def test_the_rules_give_published_widths():
    """Llama's feed-forward sizes where they follow the 8/3 rule, and the field's head size of 64."""
    assert [feed_forward_for(width) for width in (4096, 2048, 576, 256)] == [10_944, 5504, 1536, 704]
    assert heads_for(2048) == 32 and heads_for(576) == 9


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen3", "gpt2", "mixtral"])
@pytest.mark.parametrize("size", ["1M", "4M", "30M"])
def test_every_architecture_comes_near_its_size(architecture, size):
    """The nearest depth is within a quarter; eight experts are heavy, so a small mixture can miss more."""
    plan = blueprint(size, model={"architecture": architecture})
    model = llm_config(plan, 4096)
    off = abs(model.num_parameters / parameters_of(size) - 1)
    assert off < (0.5 if architecture == "mixtral" else 0.27)
    found = values(plan)
    assert found["pretrain.model.kv_heads"] == model.num_key_value_heads
    assert found["pretrain.model.feed_forward"] == model.intermediate_size
    assert model.num_experts == (8 if architecture == "mixtral" else 0)
    assert model.sliding_window == (128 if architecture == "mistral" else None)
    if architecture == "gpt2":
        assert model.num_key_value_heads == model.num_attention_heads
        assert model.intermediate_size == 4 * model.hidden_size


def test_gpt2_small_follows_from_its_depth():
    """Width 64 per layer, heads of 64, 4 times the width: the published 124M."""
    plan = blueprint("124M", 50_257, model={"architecture": "gpt2", "layers": 12, "context": 1024})
    assert llm_config(plan, 50_257).num_parameters == 124_439_808


def test_4m_with_4096_words_is_4_layers_of_256():
    found = values(blueprint())
    shape = [found[f"pretrain.model.{name}"] for name in ("layers", "width", "heads", "kv_heads", "feed_forward")]
    assert shape == [4, 256, 4, 2, 704]
    assert llm_config(blueprint(), 4096).num_parameters == 4_000_000


@pytest.mark.parametrize(
    ("size", "expected"), [("4M", 4_000_000), ("1.5B", 1_500_000_000), ("300k", 300_000), ("0.25m", 250_000)]
)
def test_sizes_are_read(size, expected):
    assert parameters_of(size) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(50_000, 2_000_000_000), st.sampled_from([300, 4096, 32_000, 128_256]), st.booleans())
def test_no_other_depth_comes_nearer(target, vocabulary, tied):
    """Against brute force over the depths, each counted by the validated configuration."""
    chosen = shape_for(target, vocabulary, ModelShape(tied=tied))

    def distance(layers: int) -> int:
        one = shape_for(1, vocabulary, ModelShape(tied=tied, layers=layers))
        return abs(LLMConfig.model_validate(one.model_dump()).num_parameters - target)

    assert distance(chosen.num_hidden_layers) == min(distance(layers) for layers in range(1, 61))
    assert chosen.hidden_size == 64 * chosen.num_hidden_layers


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["100K", "4M", "30M"]),
    st.fixed_dictionaries(
        {},
        optional={
            "layers": st.integers(1, 40),
            "heads": st.integers(1, 24),
            "feed_forward": st.integers(1, 999),
            "context": st.integers(128, 4096),
        },
    ),
    st.one_of(st.none(), st.integers(1, 300).map(lambda half: 2 * half)),
)
def test_whatever_is_set_stays_and_the_rest_makes_a_valid_model(size, given_, width):
    """Values of the person win; what is derived around them fits (an odd width or a non-divisor of it can't)."""
    if width and "heads" not in given_:
        given_["width"] = width
    plan = blueprint(size, model=given_)
    found, model = values(plan), llm_config(plan, 4096)  # validates
    assert not {f"pretrain.model.{name}" for name in given_} & found.keys()
    names = {"layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads",
             "feed_forward": "intermediate_size", "context": "max_position_embeddings"}  # fmt: skip
    for name, value in given_.items():
        assert getattr(model, names[name]) == value
    for path, value in found.items():
        if path.removeprefix("pretrain.model.") in names:
            assert getattr(model, names[path.removeprefix("pretrain.model.")]) == value


def test_depth_alone_gives_the_width_and_width_alone_the_depth():
    assert values(blueprint(model={"layers": 6}))["pretrain.model.width"] == 384
    wide = values(blueprint(model={"width": 512}))
    assert "pretrain.model.width" not in wide and wide["pretrain.model.layers"] == 1
    assert values(blueprint("40M", model={"width": 512}))["pretrain.model.layers"] == 13
    assert values(blueprint(model={"kv_heads": 3}))["pretrain.model.heads"] % 3 == 0


@given(st.integers(1, 64))
def test_key_value_heads_divide_the_heads(heads):
    kv = kv_heads_for(heads)
    assert heads % kv == 0
    assert kv == (heads / 2 if heads in range(4, 65, 2) else heads)


def test_batch_and_rate_follow_the_published_curves():
    """DeepSeek LLM's own example of both formulas, 1e20 FLOPs (computed here with logarithms instead of powers)."""
    flops = 1e20
    batch = math.exp(math.log(0.2920) + 0.3271 * math.log(flops))
    assert abs(batch_tokens_for(flops, 4096, 10**12) - batch) <= 4096 / 2
    rate = math.exp(math.log(0.3118) - 0.1250 * math.log(flops))
    assert learning_rate_for(flops) == pytest.approx(rate, rel=5e-3)
    assert learning_rate_for(flops) == 0.000986


@given(st.floats(1e6, 1e25), st.integers(8, 4096), st.integers(1, 10**13), st.integers(1, 64))
def test_a_batch_is_whole_sequences_and_never_empty(flops, sequence, tokens, accumulate):
    batch = batch_tokens_for(flops, sequence, tokens, accumulate)
    assert batch > 0 and batch % (sequence * accumulate) == 0
    assert batch <= max(tokens + sequence * accumulate / 2, sequence * accumulate)


def test_what_is_set_moves_what_follows():
    free, few = values(blueprint()), values(blueprint(tokens=1_000_000))
    assert free["pretrain.tokens"] == 20 * 4_000_000
    assert "pretrain.tokens" not in few
    assert few["pretrain.batch_tokens"] < free["pretrain.batch_tokens"]
    assert few["pretrain.learning_rate"] > free["pretrain.learning_rate"]
    fixed = values(blueprint(learning_rate=1e-3))
    assert "pretrain.learning_rate" not in fixed
    for stage, (share, reason) in SHARES.items():
        assert fixed[f"{stage}.learning_rate"] == pytest.approx(share * 1e-3, rel=5e-3) and reason


def test_every_derived_value_has_a_rule_and_a_source():
    for path, one in derive(blueprint()).items():
        assert one.rule and one.source, path


def test_a_smaller_tokenizer_than_asked_for_does_not_change_the_shape():
    plan = blueprint()
    assert llm_config(plan, 3000).num_hidden_layers == llm_config(plan, 4096).num_hidden_layers
    assert llm_config(plan, 3000).vocab_size == 3000
