"""A decoder's configuration as Hugging Face's `config.json`, and back.

A family here is a `model_type` of transformers. Written files are read alike by transformers 4.57, which looks for
`rope_theta`, `rope_scaling` and `torch_dtype`, and by 5.x, which looks for `rope_parameters` and `dtype`.
Reading is strict: a key that is not known here might change what the model computes, so it is refused by its name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from groundup.errors import GroundupError
from groundup.model.configuration import Family, LLMConfig, RopeScaling, config_of

ARCHITECTURES: dict[Family, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "mixtral": "MixtralForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
}

# Hugging Face's key for each of our fields, by family.
_SIZES = "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads"
_LLAMA = {
    name: name
    for name in f"{_SIZES} max_position_embeddings head_dim tie_word_embeddings rms_norm_eps hidden_act "
    "attention_dropout initializer_range".split()
}
_MOE = {name: name for name in ("num_experts_per_tok", "router_aux_loss_coef")}
_QWEN_MOE = "num_experts moe_intermediate_size norm_topk_prob decoder_sparse_step mlp_only_layers attention_bias"
KEYS: dict[Family, dict[str, str]] = {
    "llama": _LLAMA | {"attention_bias": "attention_bias", "mlp_bias": "mlp_bias"},
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA | {"attention_bias": "attention_bias"},
    "mixtral": _LLAMA | _MOE | {"num_experts": "num_local_experts"},
    "qwen3_moe": _LLAMA | _MOE | {name: name for name in _QWEN_MOE.split()},
    "gpt2": {
        "vocab_size": "vocab_size",
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
        "tie_word_embeddings": "tie_word_embeddings",
        "layer_norm_epsilon": "layer_norm_epsilon",
        "hidden_act": "activation_function",
        "attention_dropout": "attn_pdrop",
        "resid_pdrop": "resid_pdrop",
        "embd_pdrop": "embd_pdrop",
        "initializer_range": "initializer_range",
    },
}

# Other spellings of those keys, which transformers reads and partly writes.
ALIASES: dict[Family, dict[str, str]] = {
    "mixtral": {"num_experts": "num_local_experts"},
    "qwen3_moe": {"num_local_experts": "num_experts"},
    "gpt2": {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
}

# What transformers takes where a file has no such key, by our field; the sizes must be there.
_ASSUMED = {"rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "tie_word_embeddings": False}
ASSUMED: dict[Family, dict[str, Any]] = {
    "llama": _ASSUMED,
    "mistral": _ASSUMED | {"num_key_value_heads": 8},
    "qwen2": _ASSUMED | {"num_key_value_heads": 32},
    "qwen3": _ASSUMED | {"num_key_value_heads": 32, "head_dim": 128},
    "mixtral": _ASSUMED | {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "num_key_value_heads": 8},
    "qwen3_moe": _ASSUMED | {"num_key_value_heads": 4, "norm_topk_prob": False},
    "gpt2": {
        "tie_word_embeddings": True,
        "hidden_act": "gelu_new",
        "attention_dropout": 0.1,
        "resid_pdrop": 0.1,
        "embd_pdrop": 0.1,
    },
}

# What a family always is, by our field.
ALWAYS: dict[Family, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
    "mixtral": {"norm_topk_prob": True},
    "qwen3_moe": {"qk_norm": True},
    "gpt2": {
        "position_embedding": "learned",
        "norm": "layer_norm",
        "norm_bias": True,
        "attention_bias": True,
        "gated_mlp": False,
        "mlp_bias": True,
    },
}

WINDOWS = {"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"}
ROPE = {"rope_theta", "rope_parameters", "rope_scaling"}
SCALINGS = {  # kind of scaling -> the keys that it looks at
    "linear": "factor",
    "llama3": "factor original_max_position_embeddings low_freq_factor high_freq_factor",
    "yarn": "factor original_max_position_embeddings beta_fast beta_slow attention_factor mscale mscale_all_dim "
    "truncate",
}
# Keys with one value that our decoder computes.
FIXED: dict[str, Any] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "router_jitter_noise": 0.0,
    "partial_rotary_factor": 1.0,
    "is_encoder_decoder": False,
    "pruned_heads": {},
}
# Keys that do not change what the model computes: identity, outputs, heads of other tasks, and generation.
IGNORED = set(
    "architectures model_type transformers_version dtype torch_dtype use_cache bos_token_id eos_token_id pad_token_id "
    "sep_token_id unk_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id _name_or_path "
    "output_hidden_states output_attentions output_scores output_router_logits return_dict return_dict_in_generate "
    "id2label label2id num_labels problem_type task_specific_params summary_type summary_use_proj summary_activation "
    "summary_proj_to_labels summary_first_dropout n_ctx pretraining_tp reorder_and_upcast_attn is_decoder "
    "chunk_size_feed_forward gradient_checkpointing tokenizer_class prefix finetuning_task torchscript "
    "tie_encoder_decoder cross_attention_hidden_size max_length min_length do_sample early_stopping num_beams "
    "num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty "
    "no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences remove_invalid_values tf_legacy_loss "
    "use_bfloat16 bad_words_ids suppress_tokens begin_suppress_tokens exponential_decay_length_penalty".split()
)
# Fields that only training looks at, so a file without them is the same model.
TRAINING = set(
    "notes attention_dropout resid_pdrop embd_pdrop z_loss_coef router_aux_loss_coef initializer_range "
    "zero_init_outputs fan_in embedding_std head_std qk_gain".split()
)


def family_of(config: LLMConfig) -> Family:
    """The family that comes nearest; whether it can say all of the model, `huggingface_config` finds out."""
    if config.position_embedding == "learned":
        return "gpt2"
    if config.num_experts:
        return "qwen3_moe" if config.qk_norm else "mixtral"
    if config.qk_norm:
        return "qwen3"
    if config.qkv_bias:
        return "qwen2"
    return "mistral" if config.sliding_window else "llama"


def huggingface_config(
    config: LLMConfig, dtype: str, end_of_text: int | None = None, end: int | None = None, pad: int | None = None
) -> dict[str, Any]:
    """The `config.json` for transformers. Generation stops at `end` (of a turn) or `end_of_text`, where given.

    Raises:
        GroundupError: transformers has no such model; the field that prevents it is named.
    """
    family = family_of(config)
    values = config.model_dump(mode="json")
    found: dict[str, Any] = {"architectures": [ARCHITECTURES[family]], "model_type": family}
    found |= {theirs: values[ours] for ours, theirs in KEYS[family].items()}
    if family != "gpt2":
        found |= _rope_keys(config) | _window_keys(config, family)
    _, read = read_huggingface_config(found, Path(f"transformers' {family}"))
    said, wanted = _meaning(read, family), _meaning(config, family)
    for name in (name for name in wanted if said.get(name) != wanted[name]):
        what = f"transformers' {family} can't say that {name} is {wanted[name]!r}; it reads {said.get(name)!r}"
        raise GroundupError(what, where="export", do="train a model whose shape transformers has, to export it there")
    stops = [token for token in (end, end_of_text) if token is not None]
    special = {"bos_token_id": end_of_text, "eos_token_id": stops or None, "pad_token_id": pad}
    return found | {
        **{name: value for name, value in special.items() if value is not None},
        "dtype": dtype,
        "torch_dtype": dtype,
        "use_cache": True,
    }


def _meaning(config: LLMConfig, family: Family) -> dict[str, Any]:
    """What the model computes: its fields less those that have no say in it."""
    silent = TRAINING | {"embedding_norm"}  # which weights are written with
    if not config.num_experts:
        silent |= {*_MOE, *_QWEN_MOE.split()} - {"attention_bias", "num_experts"}
    if config.norm == "rms_norm":
        silent |= {"layer_norm_epsilon", "norm_bias"}
    elif not config.qk_norm:
        silent |= {"rms_norm_eps"}
    if config.position_embedding == "learned":
        silent |= {"rope_theta"}
    if family == "gpt2":
        silent |= {"norm_bias", "attention_bias", "mlp_bias"}  # zeros are written for biases that the model lacks
    values = config.model_dump(exclude=silent)
    if scaling := config.rope_scaling:
        context = scaling.original_max_position_embeddings or config.max_position_embeddings
        values["rope_scaling"] = scaling.model_dump(include=set(SCALINGS[scaling.rope_type].split()))
        values["rope_scaling"]["original_max_position_embeddings"] = context
    values["sliding_window"] = [config.window(layer) for layer in range(config.num_hidden_layers)]
    return values | {
        "layer_types": None,
        "mup_base_width": None if config.width_multiplier == 1 else config.mup_base_width,
    }


def _rope_keys(config: LLMConfig) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default"}
    if (scaling := config.rope_scaling) is not None:
        values = scaling.model_dump(include=set(SCALINGS[scaling.rope_type].split()), exclude_none=True)
        if scaling.rope_type != "linear":
            values.setdefault("original_max_position_embeddings", config.max_position_embeddings)
        rope = {"rope_type": scaling.rope_type, **values}
    found = {"rope_theta": config.rope_theta, "rope_parameters": {**rope, "rope_theta": config.rope_theta}}
    return found | ({"rope_scaling": rope} if config.rope_scaling else {})


def _window_keys(config: LLMConfig, family: Family) -> dict[str, Any]:
    if family == "llama":
        return {}
    window = {"sliding_window": config.sliding_window}
    if family in ("mistral", "mixtral"):
        return window
    window["use_sliding_window"] = config.sliding_window is not None
    if family == "qwen3_moe":
        return window
    slides = [config.window(layer) is not None for layer in range(config.num_hidden_layers)]
    types = ["sliding_attention" if one else "full_attention" for one in slides]
    return window | {"layer_types": types, "max_window_layers": slides.index(True) if any(slides) else len(slides)}


def read_huggingface_config(raw: Any, where: Path) -> tuple[Family, LLMConfig]:
    """The family and the shape that the content of a `config.json` describes.

    Raises:
        GroundupError: it is of no family that is known here, lacks a size, or has a key or value that our decoder does
            not compute; the key is named.
    """
    given: dict[str, Any] = raw if isinstance(raw, dict) else {}
    family: Any = given.get("model_type")
    if family not in get_args(Family):
        known = ", ".join(get_args(Family))
        raise GroundupError(f"model_type is {family!r}, not one of {known}", where=str(where), do="name such a model")
    aliases = ALIASES.get(family, {})
    given = {aliases.get(key, key): value for key, value in given.items()}
    for key, value in given.items():
        if key in FIXED and value is not None and value != FIXED[key]:
            raise _unknown(key, value, where, f"not {FIXED[key]!r}")
        if value is not None and key not in {*KEYS[family].values(), *WINDOWS, *ROPE, *FIXED, *IGNORED}:
            raise _unknown(key, value, where, "which is not known here and may change what the model computes")
    values = dict(ASSUMED[family])
    values |= {ours: given[theirs] for ours, theirs in KEYS[family].items() if given.get(theirs) is not None}
    if values.get("hidden_act") == "swish":
        values["hidden_act"] = "silu"
    heads = values.get("num_attention_heads")
    if family == "gpt2":
        values["num_key_value_heads"] = heads
        values.setdefault("intermediate_size", 4 * int(values.get("hidden_size", 0)))
    else:
        if KEYS[family]["num_key_value_heads"] in given or family == "llama":
            values["num_key_value_heads"] = given.get("num_key_value_heads") or heads  # null means all
        values |= _rope_of(given, values["rope_theta"], where) | _window_of(given, family, where)
    return family, config_of(values | ALWAYS[family], where)


def _rope_of(given: Mapping[str, Any], assumed: float, where: Path) -> dict[str, Any]:
    """Our fields of the rotary positions, wherever a file has them."""
    rope = dict(given.get("rope_scaling") or given.get("rope_parameters") or {})
    nested, top = (given.get("rope_parameters") or {}).get("rope_theta"), given.get("rope_theta")
    if None not in (nested, top) and nested != top:
        what = f"rope_theta is {top!r}, but {nested!r} in rope_parameters: versions of transformers would differ"
        raise GroundupError(what, where=str(where), do="make both the same")
    theta = rope.pop("rope_theta", None) or nested or top or assumed
    kind = rope.pop("rope_type", None) or rope.get("type", "default")
    rope.pop("type", None)
    if rope.pop("partial_rotary_factor", None) not in (None, 1, 1.0):
        raise _unknown("partial_rotary_factor", given.get("partial_rotary_factor"), where, "not 1.0")
    if kind == "default":
        return {"rope_theta": theta}
    if kind not in SCALINGS:
        raise _unknown("rope_type", kind, where, f"not one of default, {', '.join(SCALINGS)}")
    for key, value in rope.items():
        if key not in RopeScaling.model_fields and value is not None:
            raise _unknown(key, value, where, f"which is not known here for rope_type {kind}")
    known = {key: rope[key] for key in SCALINGS[kind].split() if rope.get(key) is not None}
    return {"rope_theta": theta, "rope_scaling": {"rope_type": kind, **known}}


def _window_of(given: Mapping[str, Any], family: Family, where: Path) -> dict[str, Any]:
    """Our fields of the sliding window. Qwen's counts only where it is switched on; Llama has none."""
    window = given.get("sliding_window", None if family == "mixtral" else 4096)
    types = given.get("layer_types")
    if family == "llama" or (family.startswith("qwen") and not given.get("use_sliding_window", False)):
        window = None
    if family not in ("qwen2", "qwen3"):
        if types is not None and len(set(types)) > 1:
            raise _unknown("layer_types", types, where, f"which {family} does not look at")
        return {"sliding_window": window}
    if types is None:
        first, layers = int(given.get("max_window_layers", 28)), int(given.get("num_hidden_layers", 0))
        types = ["sliding_attention" if window and layer >= first else "full_attention" for layer in range(layers)]
    if "sliding_attention" not in types:
        return {}
    return {"sliding_window": window, "layer_types": None if len(set(types)) == 1 else types}


def _unknown(key: str, value: Any, where: Path, why: str) -> GroundupError:
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
    return GroundupError(
        f"{key} is {shown}, {why}", where=str(where), do="name another model, or remove the key if it changes nothing"
    )
