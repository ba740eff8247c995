"""A model as Hugging Face's transformers reads and writes it: `config.json` and `model.safetensors`.

The decoder's tensors carry Hugging Face's names already, so only the configuration is translated. transformers 4.57
looks for `rope_theta` and `torch_dtype`, 5.x for `rope_parameters` and `dtype`: both are written.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from groundup.artifacts.durable import read_json, write_text
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.weights import CONFIG, WEIGHTS, config_of, load_weights, named_weights, read_tensors


def huggingface_config(config: LLMConfig, dtype: str, end_of_text: int, end: int, pad: int) -> dict[str, Any]:
    """The `config.json` of a `LlamaForCausalLM`. Generation stops at `end` (of a turn) or `end_of_text`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **config.model_dump(exclude={"notes"}),
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "initializer_range": 0.02,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "bos_token_id": end_of_text,
        "eos_token_id": [end, end_of_text],
        "pad_token_id": pad,
        "dtype": dtype,
        "torch_dtype": dtype,
        "use_cache": True,
    }


def save_huggingface(
    folder: Path, model: CustomLanguageModel, dtype: str, *, end_of_text: int, end: int, pad: int
) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = huggingface_config(model.config, dtype, end_of_text, end, pad)
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    generation = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")} | {
        "do_sample": False
    }
    write_text(folder / "generation_config.json", json.dumps(generation, indent=1) + "\n")
    as_dtype: torch.dtype = getattr(torch, dtype)
    weights = {name: tensor.cpu().to(as_dtype).contiguous() for name, tensor in named_weights(model).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_huggingface(folder: Path, device: torch.device | str = "cpu") -> CustomLanguageModel:
    """Read a Llama-style model in one safetensors file; weights become float32.

    Raises:
        GroundupError: the folder is no such model, or its tensors don't fit its configuration.
    """
    model = CustomLanguageModel(_config_of(read_json(folder / CONFIG), folder / CONFIG), seed=None)
    load_weights(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.to(device)


def _config_of(raw: Any, where: Path) -> LLMConfig:
    """The shape in transformers' words. What our decoder does not do is refused, or its logits would be wrong."""
    given = raw if isinstance(raw, dict) else {}
    rope = given.get("rope_parameters") or given.get("rope_scaling") or {}
    for name, found, wanted in (
        ("model_type", given.get("model_type"), "llama"),
        ("hidden_act", given.get("hidden_act", "silu"), "silu"),
        ("rope_type", rope.get("rope_type", rope.get("type", "default")), "default"),
    ):
        if found != wanted:
            raise GroundupError(f"{name} is {found!r}, not {wanted!r}", where=str(where), do="name a Llama-style model")
    names = (set(LLMConfig.model_fields) - {"notes"}) & given.keys()
    theta = {"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {}
    return config_of({name: given[name] for name in names} | theta, where)
