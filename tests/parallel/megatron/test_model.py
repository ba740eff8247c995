"""Megatron-core's GPTModel, built from our configurations, computes what our decoder computes."""

from typing import Any

import megatron_curves as curves
import pytest
import torch

import tiny
from groundup.model.attention import runs_of
from groundup.model.configuration import FAMILIES
from groundup.model.weights import named_weights
from groundup.parallel.configuration import ParallelConfig

pytestmark = [pytest.mark.engines, curves.needs_megatron]

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"rope_theta": 500.0},
    "llama, untied, all biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "llama, larger heads": {"head_dim": 12},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}},
    "mistral": FAMILIES["mistral"] | {"sliding_window": 7},
    "qwen2, some layers slide": FAMILIES["qwen2"]
    | {"sliding_window": 5, "layer_types": ("full_attention", "sliding_attention")},
    "qwen3": FAMILIES["qwen3"] | {"head_dim": 16},
    "gpt2": FAMILIES["gpt2"] | {"num_key_value_heads": 4},
    "gpt2, squared relu, no bias in norms": FAMILIES["gpt2"]
    | {"num_key_value_heads": 4, "hidden_act": "relu2", "norm_bias": False},
    "capped, muP": {"final_logit_softcapping": 3.0, "mup_base_width": 8},
}


def differences() -> dict[str, tuple[float, float]]:
    """The largest difference of logits, of rows that are one document each and of packed ones."""
    from groundup.parallel.megatron import layout
    from groundup.parallel.megatron.converter import HEAD, entries
    from groundup.parallel.megatron.last_stage import LastStage
    from groundup.parallel.megatron.model import build_stages

    found = {}
    layout.enter(ParallelConfig(), torch.device("cpu"))
    ids = tiny.ids(3, 24)
    documents = torch.tensor([[0] * 5 + [1] * 9 + [0] * 10, [1] * 24, [2] * 3 + [4] * 21])
    for name, changes in SHAPES.items():
        ours = tiny.model(**changes)
        [stage] = build_stages(ours.config, ParallelConfig())
        weights = named_weights(ours)
        wanted = {entry.name: entry.split(weights, ours.config) for entry in entries(ours.config)}
        if ours.config.tie_word_embeddings:
            del wanted[HEAD]
        stage.load_state_dict(wanted, strict=False)
        assert {key for key, _ in stage.named_parameters()} == wanted.keys()
        with torch.no_grad():
            both = []
            for packed in (None, documents):
                positions = torch.arange(24).expand(3, -1) if packed is None else runs_of(packed)[1]
                last = LastStage(ours.config, stage).served(stage(ids, positions, packed), 3, 24)
                both.append(float((last(ids)[0] - ours(ids, None, packed)[0]).abs().max()))
        found[name] = (both[0], both[1])
    layout.leave()
    return found


def test_logits_are_those_of_our_decoder() -> None:
    [found] = curves.run(1, differences)
    assert found.keys() == SHAPES.keys()
    assert max(max(both) for both in found.values()) < 1e-5, found
