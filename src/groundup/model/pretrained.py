"""A model from a folder, and to a folder, in one call each; and Meta's own weights of a Llama.

Suffixes: H heads, K head size, D width.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface, save_huggingface
from groundup.model.weights import CONFIG, load_model, load_weights

# Meta's names and ours, within a layer and outside of layers
_META = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
}


def from_pretrained(folder: str | Path, device: torch.device | str = "cpu") -> CustomLanguageModel:
    """The model in a folder, for evaluation (`model.train()` turns dropout on); weights become float32.

        >>> import tempfile
        >>> from groundup.model import CustomLanguageModel, LLMConfig, from_pretrained, save_pretrained
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(model, folder)
        ...     from_pretrained(folder).config == model.config
        True

    Args:
        folder: with `config.json` and safetensors, as `save_pretrained`, `groundup export` and transformers write them.

    Raises:
        GroundupError: the folder holds no such model, or one with something that our decoder does not compute.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    if isinstance(config, dict) and "model_type" not in config:  # a training artifact's, with our own fields
        return load_model(folder, device).eval()
    return load_huggingface(folder, device)


def save_pretrained(
    model: CustomLanguageModel, folder: str | Path, *, dtype: str = "float32", special: Mapping[str, int] | None = None
) -> None:
    """Write a model's `config.json`, `generation_config.json` and weights as transformers reads them.

        >>> import tempfile
        >>> from pathlib import Path
        >>> from groundup.model import CustomLanguageModel, LLMConfig, save_pretrained
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pretrained(model, folder, dtype="bfloat16")
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['config.json', 'generation_config.json', 'model.safetensors']

    Args:
        dtype: of the weights: `float32`, `bfloat16` or `float16`.
        special: ids of `end_of_text`, `end` (of a turn) and `pad`; without them no special tokens are named.

    Raises:
        GroundupError: transformers has no such model; the field that prevents it is named.
    """
    save_huggingface(Path(folder), model, dtype, **(special or {}))


def from_meta(weights: Mapping[str, Tensor], config: LLMConfig) -> CustomLanguageModel:
    """A Llama from tensors with Meta's names, whose rotary positions turn neighbouring dimensions together.

        >>> import torch
        >>> from groundup.model import LLMConfig, from_meta
        >>> config = LLMConfig(vocab_size=8, hidden_size=4, intermediate_size=6, num_hidden_layers=1)
        >>> attention = {f"layers.0.attention.w{one}.weight": torch.eye(4) for one in "qkvo"}
        >>> norms = {f"layers.0.{one}_norm.weight": torch.ones(4) for one in ("attention", "ffn")}
        >>> mlp = {f"layers.0.feed_forward.w{one}.weight": torch.ones(6, 4) for one in "13"}
        >>> mlp["layers.0.feed_forward.w2.weight"] = torch.ones(4, 6)
        >>> ends = {"tok_embeddings.weight": torch.ones(8, 4), "norm.weight": torch.ones(4)}
        >>> model = from_meta(attention | norms | mlp | ends, config)
        >>> model.model.layers[0].self_attn.q_proj.weight.argmax(1)  # rows in the half-split order
        tensor([0, 2, 1, 3])

    Args:
        weights: `tok_embeddings.weight`, `layers.0.attention.wq.weight`, ... of one unsharded file.

    Raises:
        GroundupError: a tensor is missing, unknown or of another shape than the configuration describes.
    """
    renamed = {}
    for name, tensor in weights.items():
        if name == "rope.freqs" or (name == "output.weight" and config.tie_word_embeddings):
            continue  # made from the configuration; the embedding
        found = re.fullmatch(r"(?:layers\.(\d+)\.)?(.+)\.weight", name)
        if found is None or found[2] not in _META:
            raise GroundupError(f"tensor {name} is not one of a Llama by Meta", do="pass a Llama's state dict")
        ours = _META[found[2]]
        if ours.endswith(("q_proj", "k_proj")):
            tensor = half_split(tensor, config.head_dim)
        renamed[f"model.layers.{found[1]}.{ours}.weight" if found[1] else f"{ours}.weight"] = tensor
    model = CustomLanguageModel(config, seed=None)
    load_weights(model, renamed, Path("weights"))
    return model.eval()


def half_split(weight: Tensor, head_dim: int) -> Tensor:
    """A projection of queries or keys for half-split rotary positions (ours, and Hugging Face's), from one for
    interleaved ones (Meta's): dimensions (0, 1), (2, 3), ... of each head become (0, K/2), (1, K/2 + 1), ...

        >>> import torch
        >>> from groundup.model import half_split
        >>> half_split(torch.arange(8), head_dim=8)
        tensor([0, 2, 4, 6, 1, 3, 5, 7])

    Args:
        weight: matrix [H K, D], or bias [H K].
    """
    pairs = weight.view(-1, head_dim // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape)


def interleaved(weight: Tensor, head_dim: int) -> Tensor:
    """The inverse of `half_split`: for programs that turn neighbouring dimensions together (Meta's, llama.cpp).

    >>> import torch
    >>> from groundup.model import interleaved
    >>> interleaved(torch.arange(8), head_dim=8)
    tensor([0, 4, 1, 5, 2, 6, 3, 7])
    """
    halves = weight.view(-1, 2, head_dim // 2, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)
