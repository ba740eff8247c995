"""The same weights under two names: ours (Llama's) and Megatron-core's, whole or cut for tensor parallelism.

Pure functions over tensors; nothing here needs Megatron. Optimizer state has the shapes of its weights and is
translated by the same functions. What Megatron lays out differently:

- queries, keys and values are one matrix whose rows lie group by group, [q ... q, k, v] for each key-value head, so
  that a rank's rows are neighbours
- the MLP's gate and up projection are one matrix, [gate; up], within each rank
- embedding and head are cut along the vocabulary, which is padded with rows of 0 to a multiple of the ranks
- a tied head is a second copy of the embedding where the last stage of a pipeline is not the first

For a Llama of 4 query heads on 2 key-value heads (head size K), tp 2:

    q_proj [4K, D], k_proj [2K, D], v_proj [2K, D]
    rank 0: linear_qkv [4K, D] = q head 0, q head 1, k head 0, v head 0
    rank 1:                      q head 2, q head 3, k head 1, v head 1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.model.configuration import LLMConfig

EMBEDDING, HEAD = "embedding.word_embeddings.weight", "output_layer.weight"

# How a tensor is cut over the ranks: along the rows of each key-value head's group, of gate and up, of the vocabulary,
# along rows, along columns, or not at all.
Cut = Literal["qkv", "gate_up", "vocabulary", "rows", "columns", "none"]


@dataclass(frozen=True)
class WeightMapping:
    """One of Megatron's tensors and ours that make it up."""

    name: str  # Megatron's, with the layer's number in the whole model
    ours: tuple[str, ...]
    cut: Cut

    def split(self, ours: Mapping[str, Tensor], config: LLMConfig, rank: int = 0, tp: int = 1) -> Tensor:
        """What tensor-parallel rank `rank` of `tp` holds, of our whole tensors."""
        return _split(self.cut, [ours[name] for name in self.ours], config, rank, tp)

    def parts(self, own: Tensor, config: LLMConfig) -> tuple[Tensor, ...]:
        """What a rank's tensor holds of each of ours, whatever the number of ranks: a block of neighbours."""
        match self.cut:
            case "qkv":
                return _ungrouped(own, config)
            case "gate_up":
                gate, up = own.chunk(2)
                return gate, up
            case _:
                return (own,)

    def merge(self, ranks: Sequence[Tensor], config: LLMConfig) -> dict[str, Tensor]:
        """Our whole tensors of what all ranks hold, in their order."""
        found = {}
        for name, parts in zip(self.ours, zip(*[self.parts(own, config) for own in ranks], strict=True), strict=True):
            whole = parts[0] if self.dimension is None else torch.cat(parts, self.dimension)
            found[name] = whole[: config.vocab_size] if self.cut == "vocabulary" else whole
        return found

    @property
    def dimension(self) -> int | None:
        """Along which ours are cut; None: not at all."""
        return {"none": None, "columns": 1}.get(self.cut, 0)


def entries(config: LLMConfig) -> list[WeightMapping]:
    """Every tensor of a model. A tied head is the last entry, and the embedding's second name."""
    found = [WeightMapping(EMBEDDING, ("model.embed_tokens.weight",), "vocabulary")]
    if config.position_embedding == "learned":
        found.append(WeightMapping("embedding.position_embeddings.weight", ("model.embed_positions.weight",), "none"))
    for layer in range(config.num_hidden_layers):
        found += _layer(config, layer)
    found += _norm(config, "decoder.final_layernorm", "model.norm")
    head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    return [*found, WeightMapping(HEAD, (head,), "vocabulary")]


def padded_vocabulary(config: LLMConfig, tp: int) -> int:
    """Rows of the embedding in Megatron's model."""
    return -(-config.vocab_size // tp) * tp


def tied(entry: WeightMapping, config: LLMConfig) -> bool:
    """Whether it is the second copy of a tensor."""
    return entry.name == HEAD and config.tie_word_embeddings


def to_megatron(ours: Mapping[str, Tensor], config: LLMConfig, rank: int = 0, tp: int = 1) -> dict[str, Tensor]:
    """A tensor-parallel rank's tensors of a whole model by Megatron's names; without a tied head."""
    return {entry.name: entry.split(ours, config, rank, tp) for entry in entries(config) if not tied(entry, config)}


def from_megatron(ranks: Sequence[Mapping[str, Tensor]], config: LLMConfig) -> dict[str, Tensor]:
    """Our whole tensors from those of all tensor-parallel ranks, in their order; each rank has the same names.

    Without a tied head, and without what the ranks don't hold (other stages' layers).
    """
    found: dict[str, Tensor] = {}
    for entry in entries(config):
        if entry.name in ranks[0] and not tied(entry, config):
            found |= entry.merge([rank[entry.name] for rank in ranks], config)
    return found


def in_model(name: str, first: int) -> str:
    """The name in the whole model of a layer in a pipeline stage whose first layer is `first`; other names stay."""
    parts = name.split(".")
    if parts[:2] == ["decoder", "layers"]:
        parts[2] = str(int(parts[2]) + first)
    return ".".join(parts)


def _layer(config: LLMConfig, layer: int) -> list[WeightMapping]:
    theirs, ours = f"decoder.layers.{layer}", f"model.layers.{layer}"
    found = _norm(config, f"{theirs}.input_layernorm", f"{ours}.input_layernorm")
    attention, own = f"{theirs}.self_attention", f"{ours}.self_attn"
    for kind in ("weight", *(["bias"] if config.attention_bias or config.qkv_bias else [])):
        qkv = tuple(f"{own}.{part}_proj.{kind}" for part in "qkv")
        found.append(WeightMapping(f"{attention}.linear_qkv.{kind}", qkv, "qkv"))
    found.append(WeightMapping(f"{attention}.linear_proj.weight", (f"{own}.o_proj.weight",), "columns"))
    if config.attention_bias:
        found.append(WeightMapping(f"{attention}.linear_proj.bias", (f"{own}.o_proj.bias",), "none"))
    if config.qk_norm:
        found.append(WeightMapping(f"{attention}.q_layernorm.weight", (f"{own}.q_norm.weight",), "none"))
        found.append(WeightMapping(f"{attention}.k_layernorm.weight", (f"{own}.k_norm.weight",), "none"))
    found += _norm(config, f"{theirs}.pre_mlp_layernorm", f"{ours}.post_attention_layernorm")
    inner = ("gate_proj", "up_proj") if config.gated_mlp else ("up_proj",)
    for kind in ("weight", *(["bias"] if config.mlp_bias else [])):
        own_inner = tuple(f"{ours}.mlp.{part}.{kind}" for part in inner)
        found.append(
            WeightMapping(f"{theirs}.mlp.linear_fc1.{kind}", own_inner, "gate_up" if config.gated_mlp else "rows")
        )
    found.append(WeightMapping(f"{theirs}.mlp.linear_fc2.weight", (f"{ours}.mlp.down_proj.weight",), "columns"))
    if config.mlp_bias:
        found.append(WeightMapping(f"{theirs}.mlp.linear_fc2.bias", (f"{ours}.mlp.down_proj.bias",), "none"))
    return found


def _norm(config: LLMConfig, theirs: str, ours: str) -> list[WeightMapping]:
    kinds = ("weight", "bias") if config.norm == "layer_norm" and config.norm_bias else ("weight",)
    return [WeightMapping(f"{theirs}.{kind}", (f"{ours}.{kind}",), "none") for kind in kinds]


def _split(cut: Cut, parts: Sequence[Tensor], config: LLMConfig, rank: int, tp: int) -> Tensor:
    """What rank `rank` of `tp` holds."""
    match cut:
        case "qkv":
            return _rows(_grouped(parts, config), rank, tp)
        case "gate_up":
            return torch.cat([_rows(part, rank, tp) for part in parts])
        case "vocabulary":
            [whole] = parts
            missing = padded_vocabulary(config, tp) - len(whole)
            return _rows(F.pad(whole, (0, 0, 0, missing)), rank, tp)
        case "rows":
            return _rows(parts[0], rank, tp)
        case "columns":
            return parts[0].chunk(tp, dim=1)[rank].contiguous()
        case "none":
            return parts[0]


def _rows(whole: Tensor, rank: int, tp: int) -> Tensor:
    assert len(whole) % tp == 0, f"{len(whole)} rows over {tp} ranks"
    return whole.chunk(tp)[rank].contiguous()


def _grouped(parts: Sequence[Tensor], config: LLMConfig) -> Tensor:
    """Rows of queries, keys and values, group by group."""
    groups, tail = config.num_key_value_heads, parts[0].shape[1:]
    return torch.cat([part.reshape(groups, -1, *tail) for part in parts], dim=1).reshape(-1, *tail)


def _ungrouped(mixed: Tensor, config: LLMConfig) -> tuple[Tensor, ...]:
    queries = config.num_attention_heads // config.num_key_value_heads * config.head_dim
    sizes = [queries, config.head_dim, config.head_dim]
    by_group = mixed.reshape(-1, sum(sizes), *mixed.shape[1:])
    return tuple(part.flatten(0, 1) for part in torch.split(by_group, sizes, dim=1))
