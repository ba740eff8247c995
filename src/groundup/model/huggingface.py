"""A model as Hugging Face's transformers reads and writes it: `config.json` and safetensors.

The decoder's tensors carry Llama's names, as those of Mistral, Qwen2 and Qwen3 do. Two families differ on disk:

- GPT-2 has names of its own, one tensor for queries, keys and values, and matrices stored [in, out];
- Mixtral and Qwen3-MoE store each expert's matrices apart, where we (and transformers 5 in memory) stack them.

Both are copied and never computed with, so a model comes back bit for bit.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.configuration import Family, LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface_config import huggingface_config, read_huggingface_config
from groundup.model.weights import CONFIG, SHARD_BYTES, load_weights, named_weights, read_folder, write_tensors

# GPT-2's modules and ours; queries, keys and values apart
GPT2_MODULES = {
    "wte": "model.embed_tokens",
    "wpe": "model.embed_positions",
    "ln_f": "model.norm",
    "ln_1": "input_layernorm",
    "ln_2": "post_attention_layernorm",
    "attn.c_proj": "self_attn.o_proj",
    "mlp.c_fc": "mlp.up_proj",
    "mlp.c_proj": "mlp.down_proj",
}
_GPT2_BACK = {ours: theirs for theirs, ours in GPT2_MODULES.items()}
_EXPERT: dict[Family, tuple[str, str, str, str]] = {  # their module, then gate, up and down
    "mixtral": ("block_sparse_moe", "w1", "w3", "w2"),
    "qwen3_moe": ("mlp", "gate_proj", "up_proj", "down_proj"),
}

_ROUTED = re.compile(r"(model\.layers\.\d+)\.mlp\.(gate\.weight|experts\..+)")
_BUFFER = re.compile(r".+\.(rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)")


def save_huggingface(
    folder: Path,
    model: CustomLanguageModel,
    dtype: str,
    *,
    end_of_text: int | None = None,
    end: int | None = None,
    pad: int | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write `config.json`, `generation_config.json` and the weights, in several files above `shard_bytes`.

    Raises:
        GroundupError: transformers has no such model; the field that prevents it is named.
    """
    config = huggingface_config(model.config, dtype, end_of_text, end, pad)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    special = ("bos_token_id", "eos_token_id", "pad_token_id")
    generation = {name: config[name] for name in special if name in config} | {"do_sample": False}
    write_text(folder / "generation_config.json", json.dumps(generation, indent=1) + "\n")
    as_dtype: torch.dtype = getattr(torch, dtype)
    weights = {name: tensor.to(as_dtype) for name, tensor in portable_weights(model).items()}
    write_tensors(folder, dict(to_huggingface(weights, model.config, config["model_type"])), shard_bytes)


def portable_config(config: LLMConfig) -> LLMConfig:
    """The shape that `portable_weights` have."""
    return config.model_copy(update={"embedding_norm": False})


def portable_weights(model: CustomLanguageModel) -> dict[str, Tensor]:
    """The weights by our names, float32, with which a decoder that lacks our own options computes the same: the norm
    after the embedding is applied to the embedding's rows."""
    weights = named_weights(model)
    name = "model.embed_tokens.weight"
    return weights | {name: model.model.normed(weights[name])}


def load_huggingface(folder: Path, device: torch.device | str = "cpu") -> CustomLanguageModel:
    """Read a model of a known family, for evaluation (`model.train()` turns its dropout on); weights become float32.

    Raises:
        GroundupError: the folder is no such model, its configuration has something that our decoder does not compute,
            or its tensors don't fit its configuration.
    """
    family, config = read_huggingface_config(read_json(folder / CONFIG), folder / CONFIG)
    model = CustomLanguageModel(config, seed=None)
    load_weights(model, from_huggingface(read_folder(folder), config, family, folder), folder)
    return model.to(device).eval()


def to_huggingface(weights: Mapping[str, Tensor], config: LLMConfig, family: Family) -> Iterator[tuple[str, Tensor]]:
    """Our tensors under transformers' names, as it stores them."""
    if family == "gpt2":
        yield from _to_gpt2(weights, config)
        return
    for name, tensor in weights.items():
        if family in _EXPERT and (found := _ROUTED.fullmatch(name)):
            yield from _to_experts(found[1], found[2], tensor, family)
        else:
            yield name, tensor


def from_huggingface(
    weights: Mapping[str, Tensor], config: LLMConfig, family: Family, where: Path
) -> dict[str, Tensor]:
    """Transformers' tensors under our names, as we hold them. Buffers that old files carry are dropped.

    Raises:
        GroundupError: an expert is missing, or the file has a head that differs from the embedding it is tied to.
    """
    kept = {name: tensor for name, tensor in weights.items() if not _BUFFER.fullmatch(name)}
    if family == "gpt2":
        kept = dict(_from_gpt2(kept))
    elif family in _EXPERT:
        kept = _from_experts(kept, config, family, where)
    head = kept.pop("lm_head.weight", None) if config.tie_word_embeddings else None
    embedding = kept.get("model.embed_tokens.weight")
    if head is not None and embedding is not None and not torch.equal(head, embedding):
        what = "lm_head.weight differs from the embedding to which tie_word_embeddings ties it"
        raise GroundupError(what, where=str(where), do="set tie_word_embeddings to false, or remove the tensor")
    return kept


def _to_gpt2(weights: Mapping[str, Tensor], config: LLMConfig) -> Iterator[tuple[str, Tensor]]:
    d, inner = config.hidden_size, config.intermediate_size
    like = weights["model.norm.weight"]
    sizes = {"up_proj": inner}
    for name, tensor in weights.items():
        module, kind = name.rsplit(".", 1)
        layer = re.match(r"model\.layers\.(\d+)\.", module)
        short = module[layer.end() :] if layer else module
        if short in ("self_attn.k_proj", "self_attn.v_proj") or kind == "bias":
            continue  # written with q_proj, and with the weight
        if short == "lm_head":
            yield name, tensor
            continue
        prefix = f"transformer.h.{layer[1]}." if layer else "transformer."
        if short == "self_attn.q_proj":
            theirs, parts = "attn.c_attn", [f"{module[:-6]}{one}_proj" for one in "qkv"]
        else:
            theirs, parts = _GPT2_BACK[short], [module]
        both = torch.cat([weights[f"{part}.weight"] for part in parts])
        yield f"{prefix}{theirs}.weight", both.T if short.endswith("proj") else both
        if not short.startswith("model.embed"):
            size = sizes.get(short.rsplit(".", 1)[-1], d)
            biases = [weights.get(f"{part}.bias", like.new_zeros(size)) for part in parts]
            yield f"{prefix}{theirs}.bias", torch.cat(biases)


def _from_gpt2(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights.items():
        found = re.fullmatch(r"(?:transformer\.)?(?:h\.(\d+)\.)?(.+)\.(weight|bias)", name)
        if found is None or name == "lm_head.weight":
            yield name, tensor
            continue
        layer, module, kind = found.groups()
        prefix = "" if layer is None else f"model.layers.{layer}."
        turned = tensor.T if kind == "weight" and "c_" in module else tensor  # stored [in, out]
        if module == "attn.c_attn":
            for one, part in zip("qkv", turned.chunk(3), strict=True):
                yield f"{prefix}self_attn.{one}_proj.{kind}", part
        else:
            yield f"{prefix}{GPT2_MODULES.get(module, module)}.{kind}", turned


def _to_experts(layer: str, name: str, tensor: Tensor, family: Family) -> Iterator[tuple[str, Tensor]]:
    module, gate, up, down = _EXPERT[family]
    if name == "gate.weight":
        yield f"{layer}.{module}.{name}", tensor
        return
    for expert, matrix in enumerate(tensor):
        prefix = f"{layer}.{module}.experts.{expert}"
        if name == "experts.down_proj":
            yield f"{prefix}.{down}.weight", matrix
        else:
            first, second = matrix.chunk(2)
            yield from ((f"{prefix}.{gate}.weight", first), (f"{prefix}.{up}.weight", second))


def _from_experts(weights: Mapping[str, Tensor], config: LLMConfig, family: Family, where: Path) -> dict[str, Tensor]:
    module, gate, up, down = _EXPERT[family]
    kept = {
        name.replace(f".{module}.gate.", ".mlp.gate."): tensor
        for name, tensor in weights.items()
        if f".{module}.experts." not in name
    }
    taken = 0
    for layer in filter(config.sparse, range(config.num_hidden_layers)):
        gates_ups, downs = [], []
        for expert in range(config.num_experts):
            names = [f"model.layers.{layer}.{module}.experts.{expert}.{part}.weight" for part in (gate, up, down)]
            for name in names:
                if name not in weights:
                    raise GroundupError(f"tensor {name} is missing", where=str(where), do="check which model it is of")
            gates_ups.append(torch.cat([weights[name] for name in names[:2]]))
            downs.append(weights[names[2]])
            taken += len(names)
        kept[f"model.layers.{layer}.mlp.experts.gate_up_proj"] = torch.stack(gates_ups)
        kept[f"model.layers.{layer}.mlp.experts.down_proj"] = torch.stack(downs)
    if taken != len(weights) - sum(f".{module}.experts." not in name for name in weights):
        what = f"there are tensors of more than {config.num_experts} experts, or of experts in other layers"
        raise GroundupError(what, where=str(where), do="check which model it is of")
    return kept
