"""Every shape is transformers' model of that name: logits, gradients, padding, packing and the cache."""

from pathlib import Path
from typing import Any

import families
import pytest
import torch
import torch.nn.functional as F
from families import SHAPES

import tiny
from groundup.model.cache import Appended
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import to_huggingface
from groundup.model.huggingface_config import family_of
from groundup.model.inputs import DecoderInputs

LENGTH = 33  # past every window and every context before scaling
CLOSE = {"rtol": 0, "atol": 1e-4}


def pair(shape: str, folder: Path, seed: int = 1) -> tuple[CustomLanguageModel, Any]:
    ours = families.make(shape, seed=seed).eval()
    return ours, families.transformers_of(ours, folder)


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_loss_and_gradients_are_those_of_transformers(shape: str, tmp_path: Path) -> None:
    ours, theirs = pair(shape, tmp_path)
    theirs.config.output_router_logits = ours.config.num_experts > 0  # then its loss has the load-balancing part
    idx, targets = tiny.ids(2, LENGTH), tiny.ids(2, LENGTH, seed=1)
    logits, loss = ours(idx, targets)
    assert loss is not None
    expected = theirs(idx)
    assert expected.logits.std() > 1  # weights that matter
    assert torch.allclose(logits, expected.logits, **CLOSE)
    expected_loss = F.cross_entropy(expected.logits.flatten(0, 1), targets.flatten())
    if ours.config.num_experts:
        assert expected.aux_loss > 0
        expected_loss = expected_loss + ours.config.router_aux_loss_coef * expected.aux_loss
    assert abs(loss.item() - expected_loss.item()) < 1e-5
    loss.backward()
    expected_loss.backward()
    gradients, theirs_by_name = tiny.gradients(ours), dict(theirs.named_parameters())
    if gradients.keys() != theirs_by_name.keys():  # GPT-2, and experts in transformers 4
        gradients = dict(to_huggingface(gradients, ours.config, SHAPES[shape][0]))
    assert gradients.keys() == theirs_by_name.keys()
    scale = max(parameter.grad.norm() for parameter in theirs_by_name.values())
    for name, gradient in gradients.items():
        expected_gradient = theirs_by_name[name].grad
        # a bias of the keys moves all scores of a query alike, so its gradient is rounding alone
        assert (gradient - expected_gradient).norm() < 1e-3 * expected_gradient.norm() + 1e-6 * scale, name


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_on_either_side_changes_nothing(shape: str, tmp_path: Path) -> None:
    ours, theirs = pair(shape, tmp_path)
    lengths, idx = (LENGTH, 20, 11), tiny.ids(3, LENGTH, seed=3)
    real_BT = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        for side_BT in (real_BT, real_BT.flip(1)):
            positions_BT = (side_BT.cumsum(1) - 1).clamp(min=0)
            expected = theirs(idx, attention_mask=side_BT.long(), position_ids=positions_BT).logits
            found = ours(idx, documents_BT=side_BT.long())[0]
            assert torch.allclose(found[side_BT], expected[side_BT], **CLOSE)
        assert torch.allclose(
            ours(idx)[0][real_BT], theirs(idx, attention_mask=real_BT.long()).logits[real_BT], **CLOSE
        )


@pytest.mark.parametrize(("shape", "extra"), [*((shape, 0) for shape in SHAPES), ("mistral", 280), ("gpt2", 280)])
def test_packed_documents_are_documents_apart(shape: str, extra: int, tmp_path: Path) -> None:
    """Also those whose numbers occur again; and as transformers computes each document alone."""
    family, fields = SHAPES[shape]
    ours = tiny.model(seed=1, **{**families.FAMILIES[family], **fields, "max_position_embeddings": 400}).eval()
    theirs = families.transformers_of(ours, tmp_path)
    lengths, numbers = (12, 1, 9, 18 + extra), (4, 4000, 4, 0)
    documents = torch.cat([torch.full((length,), number) for length, number in zip(lengths, numbers, strict=True)])
    idx = tiny.ids(2, sum(lengths), seed=4)
    documents_BT = torch.stack((documents, torch.zeros_like(documents)))  # the second row is one document
    found, _ = ours(idx, documents_BT=documents_BT)
    with torch.no_grad():
        apart = torch.cat([theirs(part).logits for part in idx[:1].split(lengths, 1)], 1)
        assert torch.allclose(found[0], apart[0], **CLOSE)
        assert torch.allclose(found[1], theirs(idx[1:]).logits[0], **CLOSE)
    direction = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(0))
    (found[0] * direction).sum().backward()
    packed = tiny.gradients(ours)
    ours.zero_grad()
    (torch.cat([ours(part)[0] for part in idx[:1].split(lengths, 1)], 1)[0] * direction).sum().backward()
    scale = max(gradient.norm() for gradient in packed.values())
    for name, gradient in tiny.gradients(ours).items():
        assert (packed[name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-6 * scale, name


@pytest.mark.parametrize("shape", SHAPES)
def test_decoding_with_a_cache_is_that_of_transformers(shape: str, tmp_path: Path) -> None:
    """A prompt, then one token at a time, far past the windows; and rows of unequal lengths against full passes."""
    ours, theirs = pair(shape, tmp_path)
    rows, prompt = tiny.ids(2, LENGTH, seed=5), 6
    lengths = [prompt, 3]
    cache, past = families.cache_for(ours, 2, LENGTH), None
    with torch.no_grad():
        full = ours(rows)[0]
        appended = Appended(cache, [0, 0], lengths)
        logits = ours.head(ours.features(DecoderInputs(rows[:, :prompt], cache=appended)))
        for step in range(prompt, LENGTH):
            given = theirs(rows[:1, :prompt] if past is None else rows[:1, step - 1 : step], past_key_values=past)
            past = given.past_key_values
            assert torch.allclose(logits[0, -1], given.logits[0, -1], **CLOSE)
            new = rows[torch.arange(2), lengths][:, None]
            logits = ours.head(ours.features(DecoderInputs(new, cache=Appended(cache, lengths, [1, 1]))))
            for row in (0, 1):
                assert torch.allclose(logits[row, 0], full[row, lengths[row]], **CLOSE)
            lengths = [length + 1 for length in lengths]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_family_is_the_one_it_was_made_of(shape: str) -> None:
    assert family_of(families.make(shape).config) == SHAPES[shape][0]


PARTS = {
    "a window of one more": ("mistral", {"sliding_window": 8}),
    "another layer sliding": ("qwen2, some layers slide", {"layer_types": ("sliding_attention",) * 3}),
    "a scaling's factor": ("llama 3 scaling", {"rope_scaling": families.LLAMA3 | {"factor": 8.1}}),
    "a scaling's corner": ("llama 3 scaling", {"rope_scaling": families.LLAMA3 | {"low_freq_factor": 1.1}}),
    "yarn's ramp": ("yarn", {"rope_scaling": families.YARN | {"beta_slow": 0.3}}),
    "yarn's magnitude": ("yarn, mscale", {"rope_scaling": families.MSCALE | {"mscale": 1.31}}),
    "LayerNorm's epsilon": ("gpt2", {"layer_norm_epsilon": 1.2e-3}),
    "which GELU": ("gpt2", {"hidden_act": "gelu"}),
    "weights of experts": ("qwen3 moe", {"norm_topk_prob": False}),
    "how many experts": ("mixtral", {"num_experts_per_tok": 3}),
}


@pytest.mark.parametrize("part", PARTS)
def test_the_comparison_sees_every_part(part: str) -> None:
    """The tests above can fail: the smallest other value of a field moves the logits by more than they allow."""
    shape, changes = PARTS[part]
    with torch.no_grad():
        here, there = (families.make(shape, seed=1, **extra)(tiny.ids(2, LENGTH))[0] for extra in ({}, changes))
    assert (here - there).abs().max() > 3e-4
