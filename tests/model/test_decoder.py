"""The decoder as it is built: Llama's logits for any heads and lengths, the cache, first weights, published sizes."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.model.blockwise import KEPT
from groundup.model.cache import Appended, KeyValueCache
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.model.weights import named_weights

HEADS = {"multi-head": 4, "grouped": 2, "one key-value head": 1}


def llama_of(ours: CustomLanguageModel) -> Any:
    """Transformers' model with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
        "max_position_embeddings rms_norm_eps tie_word_embeddings"
    )
    config = LlamaConfig(
        **{name: getattr(ours.config, name) for name in names.split()},
        rope_theta=ours.config.rope_theta,  # transformers 4
        rope_parameters={"rope_type": "default", "rope_theta": ours.config.rope_theta},
        attn_implementation="eager",
    )
    theirs = LlamaForCausalLM(config).float().eval()
    missing = theirs.load_state_dict(named_weights(ours), strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    theirs.tie_weights()
    return theirs


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kv_heads", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("length", [33, KEPT + 45], ids=["short", "long"])
def test_logits_loss_and_gradients_are_those_of_transformers(kv_heads: int, tied: bool, length: int) -> None:
    ours = tiny.model(
        seed=kv_heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=tied,
        max_position_embeddings=KEPT + 64,
        rope_theta=500.0,
        rms_norm_eps=1e-3,
    )
    theirs = llama_of(ours)
    idx, targets = tiny.ids(2, length), tiny.ids(2, length, seed=1)
    logits, loss = ours(idx, targets)
    expected = theirs(idx).logits
    assert expected.std() > 1  # weights that matter
    assert torch.allclose(logits, expected, rtol=0, atol=1e-4)
    expected_loss = F.cross_entropy(expected.flatten(0, 1), targets.flatten())
    assert loss is not None
    assert abs(loss.item() - expected_loss.item()) < 1e-5
    loss.backward()
    expected_loss.backward()
    theirs_by_name = dict(theirs.named_parameters())
    for name, gradient in tiny.gradients(ours).items():
        expected_gradient = theirs_by_name[name].grad
        assert (gradient - expected_gradient).norm() < 1e-3 * expected_gradient.norm(), name


@pytest.mark.parametrize("part", ["theta", "eps", "norm"])
def test_the_comparison_sees_every_part(part: str) -> None:
    """The test above can fail: a slightly other angle, epsilon or gain moves the logits by more than it allows."""
    ours = tiny.model(rope_theta=500.0, rms_norm_eps=1e-3)
    theirs = llama_of(ours)
    changes = {"theta": {"rope_theta": 505.0}, "eps": {"rms_norm_eps": 1.2e-3}, "norm": {}}[part]
    other = tiny.model(**{"rope_theta": 500.0, "rms_norm_eps": 1e-3} | changes)
    if part == "norm":
        with torch.no_grad():
            other.model.layers[1].post_attention_layernorm.weight[3] *= 1.01
    with torch.no_grad():
        difference = (other(tiny.ids(2, 33))[0] - theirs(tiny.ids(2, 33)).logits).abs().max()
    assert difference > 1e-3


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), steps=st.integers(1, 6), seed=st.integers(0, 9))
def test_decoding_with_a_cache_is_the_full_forward(lengths: list[int], steps: int, seed: int) -> None:
    """Rows of different lengths, read at once and then continued token by token."""
    ours = tiny.model(seed=1, max_position_embeddings=18)
    rows = [tiny.ids(1, length + steps, seed=seed + row)[0] for row, length in enumerate(lengths)]
    cache = KeyValueCache(ours.config, 1 + len(rows), max(lengths) + steps, torch.float32, "cpu")
    padded = torch.zeros(len(rows), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        padded[row, :length] = rows[row][:length]
    with torch.no_grad():
        full = [ours(row[None])[0][0] for row in rows]
        appended = Appended(cache, [0] * len(rows), lengths, first=1)
        logits = ours.head(ours.features(DecoderInputs(padded, cache=appended)))
        for row, length in enumerate(lengths):
            assert torch.allclose(logits[row, :length], full[row][:length], atol=1e-4)
        for step in range(steps):
            new = torch.stack([row[length + step] for row, length in zip(rows, lengths, strict=True)])
            appended = Appended(cache, [length + step for length in lengths], [1] * len(rows), first=1)
            logits = ours.head(ours.features(DecoderInputs(new[:, None], cache=appended)))
            for row, length in enumerate(lengths):
                assert torch.allclose(logits[row, 0], full[row][length + step], atol=1e-4)


@pytest.mark.parametrize("window", [None, 5])
def test_a_prompt_may_come_in_chunks_next_to_other_sequences(window: int | None) -> None:
    """Each chunk sees those before it; slots that get nothing keep what they hold, and slots can be moved."""
    ours, rows = tiny.model(sliding_window=window), tiny.ids(3, 20)
    cache = KeyValueCache(ours.config, 3, 20, torch.float32, "cpu")

    def append(starts: list[int], counts: list[int], order: list[int]) -> torch.Tensor:
        width = max(counts)
        ids = torch.stack(
            [F.pad(rows[row], (0, width))[start:][:width] for row, start in zip(order, starts, strict=True)]
        )
        return ours.head(ours.features(DecoderInputs(ids, cache=Appended(cache, starts, counts))))

    with torch.no_grad():
        full = ours(rows)[0]
        append([0, 0, 0], [7, 3, 0], [0, 1, 2])
        logits = append([7, 3, 0], [5, 0, 9], [0, 1, 2])
        assert torch.allclose(logits[0, :5], full[0, 7:12], atol=1e-4)
        assert torch.allclose(logits[2, :9], full[2, :9], atol=1e-4)
        cache.swap(0, 1, 20)
        logits = append([3, 12, 9], [8, 8, 1], [1, 0, 2])
        assert torch.allclose(logits[0], full[1, 3:11], atol=1e-4)
        assert torch.allclose(logits[1], full[0, 12:], atol=1e-4)
        cache.copy(1, 2, 20)
        assert torch.allclose(append([11, 20, 19], [1, 0, 1], [1, 0, 0])[2, 0], full[0, 19], atol=1e-4)


@pytest.mark.parametrize("vocabulary", [65, 4096, 32_768])
def test_loss_at_the_start_is_that_of_guessing(vocabulary: int) -> None:
    fresh = CustomLanguageModel(tiny.shape(vocab_size=vocabulary))
    idx = tiny.ids(4, 32, vocabulary=vocabulary)
    with torch.no_grad():
        _, loss = fresh(idx, tiny.ids(4, 32, seed=1, vocabulary=vocabulary))
    assert float(loss) == pytest.approx(math.log(vocabulary), abs=0.03)


def test_weights_are_drawn_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = named_weights(CustomLanguageModel(tiny.shape(), seed=7))
    torch.manual_seed(2)
    again, other = named_weights(CustomLanguageModel(tiny.shape(), seed=7)), CustomLanguageModel(tiny.shape(), seed=8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    matrix = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(first[matrix], named_weights(other)[matrix])
    assert float(first[matrix].std()) == pytest.approx(0.02, rel=0.1)
    assert float(first["model.layers.0.mlp.down_proj.weight"].std()) == pytest.approx(0.02 / 4**0.5, rel=0.1)


def test_targets_of_minus_100_are_ignored() -> None:
    ours, idx, targets = tiny.model(), tiny.ids(2, 8), tiny.ids(2, 8, seed=1)
    hidden = targets.clone()
    hidden[:, :5] = -100
    logits, loss = ours(idx, hidden)
    expected = F.cross_entropy(logits[:, 5:].flatten(0, 1), targets[:, 5:].flatten())
    assert torch.allclose(loss, expected, rtol=1e-6)
