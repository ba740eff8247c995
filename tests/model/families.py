"""One tiny model of each shape, with weights that matter, and transformers' model of the same weights."""

from pathlib import Path
from typing import Any

import torch

import tiny
from groundup.model.cache import KeyValueCache
from groundup.model.configuration import FAMILIES, Family
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import save_huggingface

ENDS = {"end_of_text": 55, "end": 60, "pad": 56}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16, "high_freq_factor": 3.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 8.0}
MSCALE = YARN | {"mscale": 1.3, "mscale_all_dim": 0.6, "truncate": False}
MULTI_HEAD = {"num_key_value_heads": 4}

SHAPES: dict[str, tuple[Family, dict[str, Any]]] = {
    "llama": ("llama", {"rms_norm_eps": 1e-3, "rope_theta": 500.0}),
    "llama, untied, all biases": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}),
    "llama, larger heads": ("llama", {"head_dim": 12}),
    "llama 3 scaling": ("llama", {"rope_scaling": LLAMA3, "rope_theta": 500.0}),
    "linear scaling": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.5}}),
    "yarn": ("llama", {"rope_scaling": YARN, "rope_theta": 500.0}),
    "yarn, mscale": ("llama", {"rope_scaling": MSCALE, "rope_theta": 500.0}),
    "mistral": ("mistral", {"sliding_window": 7}),
    "qwen2": ("qwen2", {}),
    "qwen2, some layers slide": (
        "qwen2",
        {"sliding_window": 5, "num_hidden_layers": 3, "layer_types": ("full_attention", *["sliding_attention"] * 2)},
    ),
    "qwen3": ("qwen3", {"head_dim": 16, "attention_bias": True}),
    "gpt2": ("gpt2", MULTI_HEAD | {"layer_norm_epsilon": 1e-3}),
    "gpt2, exact gelu, untied": ("gpt2", MULTI_HEAD | {"hidden_act": "gelu", "tie_word_embeddings": False}),
    "gpt2, squared relu": ("gpt2", MULTI_HEAD | {"hidden_act": "relu2"}),
    "mixtral": ("mixtral", {"num_experts": 4}),
    "mixtral, windowed": ("mixtral", {"num_experts": 3, "num_experts_per_tok": 1, "sliding_window": 6}),
    "qwen3 moe": ("qwen3_moe", {"num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 20}),
    "qwen3 moe, some layers dense": (
        "qwen3_moe",
        {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "norm_topk_prob": False,
            "num_hidden_layers": 4,
            "decoder_sparse_step": 2,
            "mlp_only_layers": (3,),
        },
    ),
}


def make(shape: str, seed: int = 0, **changes: Any) -> CustomLanguageModel:
    """Random weights, biases and gains, large enough that a mistake in any of them shows."""
    family, fields = SHAPES[shape]
    return tiny.model(seed=seed, **{**FAMILIES[family], **fields, **changes})


def transformers_of(ours: CustomLanguageModel, folder: Path) -> Any:
    """What transformers makes of our export."""
    from transformers import AutoModelForCausalLM

    save_huggingface(folder, ours, "float32", **ENDS)
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    theirs.get_input_embeddings().padding_idx = None  # it would leave that row without a gradient
    return theirs


def cache_for(ours: CustomLanguageModel, rows: int, room: int) -> KeyValueCache:
    return KeyValueCache(ours.config, rows, room, torch.float32, "cpu")
