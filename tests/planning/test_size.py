"""The dial: published models have their published parameter counts, and every rule holds at its corners."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.blueprint.configuration import Blueprint
from groundup.model.configuration import LLMConfig, feed_forward_for, heads_for
from groundup.planning.size import (
    RATE_FRACTIONS,
    batch_tokens_for,
    derive,
    kv_heads_for,
    learning_rate_for,
    llm_config,
    misfit,
    parameters_of,
    shape_for,
    widths,
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
    """Feed-forward sizes and heads of Llama 3 70B, Mistral 7B and Llama 3 8B, Llama 3.2 3B, TinyLlama, SmolLM."""
    assert [feed_forward_for(width) for width in (8192, 4096, 3072, 2048, 576)] == [28_672, 14_336, 8192, 5632, 1536]
    assert [heads_for(width) for width in (8192, 4096, 3072, 2048, 576)] == [64, 32, 24, 32, 9]
    assert [kv_heads_for(heads) for heads in (64, 32, 24)] == [8, 8, 8]


def test_published_models_come_out_of_their_size_and_vocabulary():
    """Llama 3 8B and 70B, and GPT-2 small, to the last parameter."""
    for size, layers, width, published in (("8B", 32, 4096, 8_030_261_248), ("70B", 80, 8192, 70_553_706_496)):
        shape = shape_for(parameters_of(size), 128_256, ModelShape(tied=False))
        assert (shape.num_hidden_layers, shape.hidden_size) == (layers, width)
        assert shape.num_parameters == published
    gpt2 = shape_for(124_000_000, 50_257, ModelShape(architecture="gpt2", context=1024))
    assert (gpt2.num_hidden_layers, gpt2.hidden_size, gpt2.num_parameters) == (12, 768, 124_439_808)


PRESETS = ["1M", "4M", "10M", "30M", "124M", "350M", "1B", "3B", "7B", "13B", "34B", "70B"]


@pytest.mark.parametrize("size", PRESETS)
def test_a_preset_has_as_many_parameters_as_it_says(size):
    """Within 5 %, 3.5 % from 100M on, with the vocabularies that models of its size have."""
    wanted = parameters_of(size)
    vocabularies = [4096] if wanted < 10**7 else [4096, 32_000, 50_257] if wanted < 10**9 else [32_000, 50_257, 128_256]
    for vocabulary in vocabularies:
        for tied in (True, False):
            if not tied and wanted < 10**8:
                continue  # a second table of words would be most of the model
            shape = LLMConfig.model_validate(
                shape_for(wanted, vocabulary, ModelShape(tied=tied)).model_dump(exclude_unset=True)
            )
            allowed = 0.055 if wanted < 10**8 else 0.035
            assert abs(shape.num_parameters / wanted - 1) < allowed, (vocabulary, tied)
            assert shape.head_dim in ((64,) if wanted < 3 * 10**9 else (128,))
            assert 30 <= shape.hidden_size / shape.num_hidden_layers <= 215  # GPT-2 xl has 33, CodeLlama 34B 171
            assert 2.6 < shape.intermediate_size / shape.hidden_size < 3.51
            assert shape.num_hidden_layers >= 2 and shape.intermediate_size % 64 == 0
            if wanted >= 10**9:  # 8 tensor parallel devices get whole heads and whole groups
                assert shape.num_attention_heads % 8 == shape.intermediate_size % 8 == 0
                assert shape.num_key_value_heads == 8
                assert shape.num_hidden_layers % 2 == 0


@pytest.mark.parametrize("size", [*PRESETS[:6], "1B", "70B"])
def test_the_built_model_has_the_parameters_that_are_counted(size):
    """Built without memory: only the shapes of its weights."""
    import torch

    from groundup.model.decoder import CustomLanguageModel

    config = llm_config(blueprint(size), 4096)
    with torch.device("meta"):
        model = CustomLanguageModel(config, seed=None)
    assert sum(parameter.numel() for parameter in model.parameters()) == config.num_parameters


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


@settings(max_examples=25, deadline=None)
@given(st.integers(50_000, 2_000_000_000), st.sampled_from([300, 4096, 32_000, 128_256]), st.booleans())
def test_no_other_shape_fits_better(target, vocabulary, tied):
    """Against brute force over widths and depths, each counted by the validated configuration."""
    chosen = shape_for(target, vocabulary, ModelShape(tied=tied))

    def of(layers: int, width: int) -> float:
        one = shape_for(target, vocabulary, ModelShape(tied=tied, layers=layers, width=width))
        counted = LLMConfig.model_validate(one.model_dump()).num_parameters
        return misfit(counted, layers, width, target)

    others = [(layers, width) for width in (32, 96, 192, 512, 1024, 1536) for layers in range(2, 40)]
    others += [(layers, width) for width in (2048, 4096) for layers in range(2, 40, 2)]
    assert {width for _, width in others} <= set(widths())
    assert of(chosen.num_hidden_layers, chosen.hidden_size) <= 1e-9 + min(of(*other) for other in others)


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
    assert values(blueprint(model={"layers": 6}))["pretrain.model.width"] == 192
    assert values(blueprint("16M", model={"layers": 6}))["pretrain.model.width"] == 448
    wide = values(blueprint(model={"width": 512}))
    assert "pretrain.model.width" not in wide and wide["pretrain.model.layers"] == 2
    assert values(blueprint("40M", model={"width": 512}))["pretrain.model.layers"] == 13
    assert values(blueprint(model={"kv_heads": 3}))["pretrain.model.heads"] % 3 == 0


@given(st.integers(1, 64))
def test_key_value_heads_divide_the_heads(heads):
    kv = kv_heads_for(heads)
    assert heads % kv == 0
    if heads % 8 == 0 and heads >= 16:
        assert kv == 8
    else:
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
    for stage, (fraction, reason) in RATE_FRACTIONS.items():
        assert fixed[f"{stage}.learning_rate"] == pytest.approx(fraction * 1e-3, rel=5e-3) and reason


def test_every_derived_value_has_a_rule_and_a_source():
    for path, one in derive(blueprint()).items():
        assert one.rule and one.source, path


def test_a_smaller_tokenizer_than_asked_for_does_not_change_the_shape():
    plan = blueprint()
    assert llm_config(plan, 3000).num_hidden_layers == llm_config(plan, 4096).num_hidden_layers
    assert llm_config(plan, 3000).vocab_size == 3000
