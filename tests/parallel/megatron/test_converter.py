"""Our tensors and Megatron's are the same numbers: there and back is bit for bit, however many ranks there are."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.model.configuration import FAMILIES
from groundup.model.decoder import CustomLanguageModel
from groundup.model.weights import named_weights
from groundup.parallel.megatron.converter import (
    HEAD,
    entries,
    from_megatron,
    in_model,
    padded_vocabulary,
    tied,
    to_megatron,
)

SHAPES: list[dict[str, Any]] = [
    {},
    {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
    FAMILIES["qwen2"] | {"head_dim": 12},
    FAMILIES["qwen3"] | {"head_dim": 6, "num_key_value_heads": 4},
    FAMILIES["gpt2"] | {"num_key_value_heads": 4},
]


def model(**changes: Any) -> CustomLanguageModel:
    """Eight query heads on four groups, so that four ranks have one each; a vocabulary that none of 2, 4 divides."""
    return tiny.model(**{"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 61} | changes)


@pytest.mark.parametrize("tp", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back_is_bit_for_bit(shape: dict[str, Any], tp: int) -> None:
    made = model(**shape)
    ours = named_weights(made)
    ranks = [to_megatron(ours, made.config, rank, tp) for rank in range(tp)]
    back = from_megatron(ranks, made.config)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())
    assert len({tuple((name, tensor.shape) for name, tensor in rank.items()) for rank in ranks}) == 1


@given(
    groups=st.sampled_from([1, 2, 4]),
    per_group=st.integers(1, 3),
    size=st.sampled_from([2, 4, 6]),
    width=st.integers(2, 9),
    inner=st.sampled_from([4, 8, 12]),
    vocabulary=st.integers(1, 40),
    layers=st.integers(1, 3),
    gated=st.booleans(),
    tied=st.booleans(),
    tp=st.sampled_from([1, 2, 4]),
)
@settings(max_examples=60)
def test_any_shape_comes_back(
    groups: int,
    per_group: int,
    size: int,
    width: int,
    inner: int,
    vocabulary: int,
    layers: int,
    gated: bool,
    tied: bool,
    tp: int,
) -> None:
    """Every number of every tensor is held exactly once: they are enumerated."""
    tp = min(tp, groups)
    config = tiny.shape(
        num_key_value_heads=groups,
        num_attention_heads=groups * per_group,
        head_dim=size,
        hidden_size=width,
        intermediate_size=inner,
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        gated_mlp=gated,
        tie_word_embeddings=tied,
    )
    ours, count = {}, 1
    for name, parameter in CustomLanguageModel(config, seed=None).named_parameters():
        ours[name] = torch.arange(count, count + parameter.numel()).view(parameter.shape)
        count += parameter.numel()
    ranks = [to_megatron(ours, config, rank, tp) for rank in range(tp)]
    back = from_megatron(ranks, config)
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())
    whole = sum(tensor.shape.numel() for name, tensor in ours.items())
    cut = {entry.name for entry in entries(config) if entry.dimension is not None}
    held = sum(tensor.numel() for rank in ranks for name, tensor in rank.items() if name in cut)
    held += sum(tensor.numel() for name, tensor in ranks[0].items() if name not in cut)
    padding = (padded_vocabulary(config, tp) - vocabulary) * width * (1 if tied else 2)
    assert held == whole + padding


def test_a_rank_has_its_groups_of_queries_keys_and_values() -> None:
    made = model()
    ours = named_weights(made)
    q, k, v = (ours[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv")
    K = made.config.head_dim
    second = to_megatron(ours, made.config, 1, 4)["decoder.layers.1.self_attention.linear_qkv.weight"]
    assert torch.equal(second, torch.cat([q[2 * K : 4 * K], k[K : 2 * K], v[K : 2 * K]]))


def test_each_rank_holds_gate_then_up() -> None:
    made = model()
    ours = named_weights(made)
    gate, up = (ours[f"model.layers.0.mlp.{part}_proj.weight"] for part in ("gate", "up"))
    half = len(gate) // 2
    first = to_megatron(ours, made.config, 0, 2)["decoder.layers.0.mlp.linear_fc1.weight"]
    assert torch.equal(first, torch.cat([gate[:half], up[:half]]))


def test_the_vocabulary_is_padded_with_zeros() -> None:
    made = model(tie_word_embeddings=False)
    assert padded_vocabulary(made.config, 4) == 64
    last = to_megatron(named_weights(made), made.config, 3, 4)
    for name in ("embedding.word_embeddings.weight", HEAD):
        assert last[name].shape[0] == 16
        assert not last[name][13:].any() and last[name][12].any()


def test_a_tied_head_is_a_second_name_of_the_embedding() -> None:
    made = model()
    head = entries(made.config)[-1]
    assert head.name == HEAD and tied(head, made.config)
    ours = named_weights(made)
    assert torch.equal(head.split(ours, made.config), ours["model.embed_tokens.weight"])
    assert HEAD not in to_megatron(ours, made.config)
    assert not tied(entries(model(tie_word_embeddings=False).config)[-1], model(tie_word_embeddings=False).config)


@pytest.mark.parametrize("pp", [1, 2, 4])
def test_stages_number_their_layers_from_zero(pp: int) -> None:
    """Pipeline stages together are the model, whatever order they are merged in."""
    made = model(num_hidden_layers=4)
    theirs = to_megatron(named_weights(made), made.config)
    stages: list[dict[str, torch.Tensor]] = [{} for _ in range(pp)]
    for name, tensor in theirs.items():
        layer = int(name.split(".")[2]) if name.startswith("decoder.layers.") else 0
        stage = layer * pp // 4
        stages[stage][in_model(name, -(stage * 4 // pp))] = tensor
    for stage in stages:
        layers = {int(name.split(".")[2]) for name in stage if name.startswith("decoder.layers.")}
        assert layers == set(range(4 // pp))
    back = {}
    for stage, tensors in reversed(list(enumerate(stages))):
        back |= from_megatron([{in_model(name, stage * 4 // pp): t for name, t in tensors.items()}], made.config)
    assert all(torch.equal(back[name], tensor) for name, tensor in named_weights(made).items())
