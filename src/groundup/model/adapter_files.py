"""Adapters as PEFT's files, both ways: `adapter_config.json` and `adapter_model.safetensors`.

PEFT names a tensor after transformers' module, `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. Its
module and ours are the same but for GPT-2, where queries, keys and values are one matrix. Adapters of the three become
one of three times the rank there,

    A = [A_q; A_k; A_v]        B = [B_q 0 0; 0 B_k 0; 0 0 B_v]        alpha three times as large, alpha / rank the same

and PEFT's adapter of the one is read as three that have A in common. No pickle is read.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import GPT2_MODULES
from groundup.model.huggingface_config import family_of
from groundup.model.linear import Linear
from groundup.model.lora import LoraLinear, adapters_of
from groundup.model.weights import read_tensors

ADAPTER_CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
FUSED = ("q_proj", "k_proj", "v_proj")
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<kind>[AB])\.weight")
_OTHERS = ("modules_to_save", "use_dora", "layers_to_transform", "trainable_token_indices", "target_parameters")


def save_adapter(folder: Path, model: CustomLanguageModel, base: str = "") -> None:
    """Write a model's adapters.

    Args:
        base: the folder or name of the model that they were trained on, for PEFT's `AutoPeftModel`.
    """
    adapters, gpt2 = adapters_of(model), family_of(model.config) == "gpt2"
    assert adapters, "the model has adapters"
    first = next(iter(adapters.values()))
    tensors, patterns = {}, {}
    for module, a_RI, b_OR, rank in _gpt2_modules(adapters) if gpt2 else _modules(adapters):
        tensors[f"{PREFIX}{module}.lora_A.weight"] = a_RI.cpu().contiguous()
        tensors[f"{PREFIX}{module}.lora_B.weight"] = b_OR.cpu().contiguous()
        patterns[_target(module)] = rank
    other = {target: rank for target, rank in patterns.items() if rank != first.rank}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": first.rank,
        "lora_alpha": first.scale * first.rank,
        "lora_dropout": first.dropout.p if isinstance(first.dropout, nn.Dropout) else 0.0,
        "target_modules": sorted(patterns),
        "rank_pattern": other,
        "alpha_pattern": {target: first.scale * rank for target, rank in other.items()},
        "bias": "none",
        "fan_in_fan_out": gpt2,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ADAPTER_CONFIG, json.dumps(config, indent=1) + "\n")
    save_file(tensors, folder / ADAPTER, metadata={"format": "pt"})


def load_adapter(model: CustomLanguageModel, folder: Path) -> None:
    """Give a model the adapters of a folder, PEFT's or ours; the model itself is frozen.

    Raises:
        GroundupError: a file is missing or damaged, or the adapters are of another kind or of another model.
    """
    config = read_json(folder / ADAPTER_CONFIG)
    _check_kind(config, folder)
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(folder / ADAPTER).items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            raise _unfit(folder, f"{name} is no adapter of a linear module")
        found.setdefault(match["module"], {})[match["kind"]] = tensor.float()
    linears = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
    model.requires_grad_(False)
    for module, pair in found.items():
        if pair.keys() != {"A", "B"}:
            raise _unfit(folder, f"{module} has one half of an adapter")
        scale = _scale(config, module, len(pair["A"]))
        for ours, a_RI, b_OR in _ours(module, pair["A"], pair["B"]):
            if ours not in linears:
                raise _unfit(folder, f"the model has no linear module {ours}")
            _attach(model, ours, linears[ours], (a_RI, b_OR), scale, folder)


def _attach(
    model: nn.Module, name: str, linear: Linear, pair: tuple[Tensor, Tensor], scale: float, folder: Path
) -> None:
    adapter = LoraLinear(linear, len(pair[0]), scale)
    for parameter, tensor in zip((adapter.lora_A, adapter.lora_B), pair, strict=True):
        if parameter.shape != tensor.shape:
            shapes = f"{list(tensor.shape)}, the model needs {list(parameter.shape)}"
            raise _unfit(folder, f"an adapter's matrix of {name} is {shapes}")
        with torch.no_grad():
            parameter.copy_(tensor)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, adapter)


def _modules(adapters: Mapping[str, LoraLinear]) -> Iterator[tuple[str, Tensor, Tensor, int]]:
    """(transformers' module, A, B, rank)."""
    for name, adapter in adapters.items():
        yield name, adapter.lora_A.detach(), adapter.lora_B.detach(), adapter.rank


def _gpt2_modules(adapters: Mapping[str, LoraLinear]) -> Iterator[tuple[str, Tensor, Tensor, int]]:
    fused: dict[str, dict[str, LoraLinear]] = {}
    for name, adapter in adapters.items():
        layer, short = _layer_of(name)
        part = short.rpartition(".")[2]
        if part in FUSED:
            fused.setdefault(layer, {})[part] = adapter
        else:
            back = {ours: theirs for theirs, ours in GPT2_MODULES.items()}
            yield f"transformer.h.{layer}.{back[short]}", adapter.lora_A.detach(), adapter.lora_B.detach(), adapter.rank
    for layer, parts in fused.items():
        ranks = sum(adapter.rank for adapter in parts.values())
        width = next(iter(parts.values())).out_features
        b_OR, at = torch.zeros(3 * width, ranks), 0
        for index, part in enumerate(FUSED):
            if part in parts:
                rank = parts[part].rank
                b_OR[index * width : (index + 1) * width, at : at + rank] = parts[part].lora_B.detach()
                at += rank
        a_RI = torch.cat([parts[part].lora_A.detach() for part in FUSED if part in parts])
        yield f"transformer.h.{layer}.attn.c_attn", a_RI, b_OR, ranks


def _ours(module: str, a_RI: Tensor, b_OR: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(our module, A, B) of transformers' one."""
    found = re.fullmatch(r"(?:transformer\.)?h\.(\d+)\.(.+)", module)
    if found is None:
        yield module, a_RI, b_OR
    elif found[2] == "attn.c_attn":
        for part, rows in zip(FUSED, b_OR.chunk(3), strict=True):
            yield f"model.layers.{found[1]}.self_attn.{part}", a_RI, rows
    else:
        yield f"model.layers.{found[1]}.{GPT2_MODULES.get(found[2], found[2])}", a_RI, b_OR


def _layer_of(name: str) -> tuple[str, str]:
    """`model.layers.3.self_attn.q_proj` -> ("3", "self_attn.q_proj")."""
    layer, _, short = name.removeprefix("model.layers.").partition(".")
    return layer, short


def _target(module: str) -> str:
    """How PEFT is asked for a module in all layers: by the last names that distinguish it."""
    last = module.rpartition(".")[2]
    return ".".join(module.split(".")[-2:]) if last == "c_proj" else last  # GPT-2 has two of them


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What an adapter's output is multiplied by: PEFT may set alpha by module, and divide by the rank's root."""
    patterns = config.get("alpha_pattern") or {}
    fitting = [alpha for key, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", module)]
    alpha = float(fitting[0] if fitting else config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _check_kind(config: Any, folder: Path) -> None:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or "lora_alpha" not in config:
        raise _unfit(folder, "it is not LoRA")
    if config.get("bias", "none") != "none":
        raise _unfit(folder, f"it has biases of its own (bias: {config['bias']})")
    for key in _OTHERS:
        if config.get(key):
            raise _unfit(folder, f"it uses {key}")


def _unfit(folder: Path, what: str) -> GroundupError:
    return GroundupError(
        f"this adapter can't be used: {what}", where=str(folder), do="merge it by PEFT, and name the merged model"
    )
