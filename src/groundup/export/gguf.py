"""Models as GGUF, the file format of llama.cpp and Ollama (the extra `gguf`).

A GGUF file names an architecture whose code is in the programs that read it, so a model can only be written as one
that they have: llama (also Mistral, Mixtral), qwen2, qwen3, qwen3moe and gpt2. What they would compute differently is
refused by name. The tokenizer goes along with its own pre-tokenizer's name (`qwen2`, `llama-bpe`, `gpt-2`), which
converters of Hugging Face folders have to guess, and with the chat template.

    tensor                      stored as
    matrices                    the type that was asked for; rows of blocks of 32 in Q8_0 and Q4_0
    norms, biases, routers,     F32, as llama.cpp's own converter does
    learned positions
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.model.configuration import Family, LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import portable_weights, to_huggingface
from groundup.model.huggingface_config import family_of, huggingface_config
from groundup.model.rotary import frequencies_of
from groundup.tokenizer.interchange.spelling import spell
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter

GgufType = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]
BLOCK = 32  # numbers of a row that share a scale in Q8_0 and Q4_0
ARCHITECTURES: dict[Family, str] = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gpt2": "gpt2",
}
PRE_TOKENIZERS: dict[PatternName, str] = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2"}
ACTIVATIONS = {"gpt2": ("gelu_new", "gelu_pytorch_tanh")}  # else silu
NORMAL, CONTROL, UNUSED = 1, 3, 5  # kinds of tokens


def write_gguf(
    path: Path, model: CustomLanguageModel, tokenizer: Tokenizer, kind: GgufType, *, name: str, template: str | None
) -> None:
    """Write model, tokenizer and chat template as one file.

    Args:
        kind: the type of the matrices.
        template: a Jinja chat template; None for a model that has none.

    Raises:
        GroundupError: the package gguf is not installed, the format can't hold the model or its tokenizer,
            or the vocabularies differ.
    """
    gguf = _package()
    family = check(model.config, kind)
    writer = gguf.GGUFWriter(path, ARCHITECTURES[family])
    try:
        writer.add_name(name)
        _add_configuration(writer, model.config, family, kind, gguf)
        _add_tokenizer(writer, tokenizer, model.config.vocab_size)
        if template is not None:
            writer.add_chat_template(template)
        quantized = gguf.GGMLQuantizationType[kind.upper()]
        for tensor_name, values in tensors(model, family, gguf):
            plain = values.ndim == 1 or any(part in tensor_name for part in ("ffn_gate_inp", "position_embd"))
            of = gguf.GGMLQuantizationType.F32 if plain else quantized
            writer.add_tensor(tensor_name, gguf.quantize(np.ascontiguousarray(values), of), raw_dtype=of)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def check(config: LLMConfig, kind: GgufType) -> Family:
    """The model's family, where GGUF can hold the model.

    Raises:
        GroundupError: it can't; the field that prevents it is named.
    """
    family = family_of(config)
    try:
        huggingface_config(config, "float32", 0, 0, 0)  # both formats name the same families
    except GroundupError as error:
        raise _refusal(error.what) from error
    wanted = ACTIVATIONS.get(family, ("silu",))
    windows = [window for layer in range(config.num_hidden_layers) if (window := config.window(layer))]
    sparse = [config.sparse(layer) for layer in range(config.num_hidden_layers)]
    scaling = config.rope_scaling
    rows = {config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim}
    rows |= {config.moe_intermediate_size} if config.num_experts else set()
    problems = {
        f"llama.cpp's {ARCHITECTURES[family]} has the activation {wanted[0]}, not {config.hidden_act}": (
            config.hidden_act not in wanted
        ),
        "llama.cpp ignores the sliding window, so that answers past it would be wrong": any(
            window < config.max_position_embeddings for window in windows
        ),
        "llama.cpp has experts in every layer or in none": any(sparse) and not all(sparse),
        "llama.cpp lets the weights of a token's experts add up to 1 (norm_topk_prob)": (
            any(sparse) and not config.norm_topk_prob
        ),
        f"llama.cpp's {ARCHITECTURES[family]} has no biases in attention (attention_bias)": (
            config.attention_bias and family in ("qwen3", "qwen3_moe", "mixtral")
        ),
        f"the RoPE scaling {scaling.rope_type if scaling else ''} is not written for {ARCHITECTURES[family]}": (
            scaling is not None and (scaling.rope_type == "yarn" or ARCHITECTURES[family] != "llama")
        ),
        f"rows of {min(rows)} numbers are no multiple of the {BLOCK} that a block of {kind} holds": (
            kind in ("q8_0", "q4_0") and any(row % BLOCK for row in rows)
        ),
    }
    for what, found in problems.items():
        if found:
            raise _refusal(what)
    return family


def _refusal(what: str) -> GroundupError:
    return GroundupError(f"GGUF can't hold this model: {what}", do="export it with --format hf")


def _package() -> Any:
    try:
        import gguf
    except ModuleNotFoundError as missing:
        raise GroundupError(
            f"writing GGUF needs {missing.name}, which is not installed", do='run: pip install "groundup[gguf]"'
        ) from missing
    return gguf


def _add_configuration(writer: "GGUFWriter", config: LLMConfig, family: Family, kind: GgufType, gguf: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    types = gguf.LlamaFileType
    writer.add_file_type(types.ALL_F32 if kind == "f32" else types[f"MOSTLY_{kind.upper()}"])
    if family == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(config.head_dim)
    if config.num_experts:
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def _add_tokenizer(writer: "GGUFWriter", tokenizer: Tokenizer, vocabulary: int) -> None:
    """The vocabulary, spelled as GPT-2 spells bytes, its merges, and the name of the pre-tokenizer.

    Raises:
        GroundupError: llama.cpp has no such pre-tokenizer, or the model has another vocabulary.
    """
    found = tokenizer.vocabulary
    if found.pattern not in PRE_TOKENIZERS:
        raise _refusal(f"llama.cpp has no pre-tokenizer for the pattern {found.pattern!r}")
    if found.whole_words and found.pattern != "llama3":
        raise _refusal("llama.cpp applies the merges also to words that are tokens, which gives other ids")
    if tokenizer.vocabulary_size > vocabulary:
        raise GroundupError(f"the tokenizer has {tokenizer.vocabulary_size:,} tokens, the model {vocabulary:,}")
    names = [f"[UNUSED{token}]" for token in range(vocabulary)]
    kinds = [UNUSED] * vocabulary
    for token, content in found.tokens.items():
        names[token], kinds[token] = spell(content), NORMAL
    for text, token in found.special.items():
        names[token], kinds[token] = text, CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZERS[found.pattern])
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    spelled = {token: spell(content) for token, content in found.tokens.items()}
    writer.add_token_merges([f"{spelled[left]} {spelled[right]}" for left, right in found.merges.tolist()])
    ids = tokenizer.special_ids
    if (end_of_text := ids.get("<|endoftext|>")) is not None:
        writer.add_bos_token_id(end_of_text)
    if (end := ids.get("<|end|>", end_of_text)) is not None:
        writer.add_eos_token_id(end)
        writer.add_eot_token_id(end)
    if (pad := ids.get("<|pad|>")) is not None:
        writer.add_pad_token_id(pad)
    writer.add_add_bos_token(False)  # no training of groundup's begins a text with a token
    writer.add_add_eos_token(False)


def tensors(model: CustomLanguageModel, family: Family, gguf: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """GGUF's names and the values, float32, matrices [out, in]; experts [E, out, in]."""
    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[ARCHITECTURES[family].upper()], config.num_hidden_layers)
    weights = {name: tensor.detach().float().cpu() for name, tensor in portable_weights(model).items()}
    experts = {name: weights.pop(name) for name in list(weights) if ".mlp.experts." in name}
    routers = {name: weights.pop(name) for name in list(weights) if config.num_experts and ".mlp.gate.weight" in name}
    dense: Family = "llama" if config.num_experts else family
    for name, tensor in to_huggingface(weights, config, dense):
        module, part = name.rsplit(".", 1)
        if family == "gpt2" and part == "weight" and ".c_" in name:
            tensor = tensor.T  # transformers stores these [in, out]
        if ARCHITECTURES[family] == "llama":
            for projection, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
                if module.endswith(projection):
                    tensor = _interleaved(tensor, heads)
        yield f"{names.get_name(module)}.{part}", tensor.numpy()
    for name, tensor in routers.items():
        yield f"blk.{name.split('.')[2]}.ffn_gate_inp.weight", tensor.numpy()
    for name, tensor in experts.items():
        block = f"blk.{name.split('.')[2]}"
        if name.endswith("down_proj"):
            yield f"{block}.ffn_down_exps.weight", tensor.numpy()
        else:
            for part, half in zip(("gate", "up"), tensor.chunk(2, dim=1), strict=True):
                yield f"{block}.ffn_{part}_exps.weight", half.numpy()
    if config.rope_scaling is not None:
        plain = config.rope_theta ** -(torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
        yield "rope_freqs.weight", (plain / frequencies_of(config)[0]).float().numpy()


def _interleaved(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of queries or keys from RoPE's half-split layout (i with i + K/2) to llama.cpp's (2i with 2i + 1).

    Args:
        rows: [heads x K, D], or [heads x K] for a bias.
    """
    split = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return split.transpose(1, 2).reshape(rows.shape)


def modelfile(weights: str, context: int) -> str:
    """Ollama's recipe for a model in groundup's own chat format: `ollama create NAME -f Modelfile`."""
    turns = (
        '{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}{{ if eq .Role "assistant" }}<|end|>{{ end }}{{ end }}'
        "<|assistant|>"
    )
    return (
        f'FROM ./{weights}\nTEMPLATE """{turns}"""\nPARAMETER stop "<|end|>"\nPARAMETER stop "<|endoftext|>"\n'
        f"PARAMETER num_ctx {context}\nPARAMETER temperature 0\n"
    )
