"""GGUF: other programs read the same model, tokenizer and template; what they would compute differently is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from benchmarks.gguf import varied_strings
from benchmarks.llama_cpp import LlamaCpp
from groundup.errors import GroundupError
from groundup.export.deliver import GGUF_TEMPLATE, export_gguf
from groundup.export.gguf import GgufType, check, modelfile, write_gguf
from groundup.inference.loading import load_folder
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import save_huggingface
from groundup.tokenizer.chat import TEMPLATE
from groundup.tokenizer.pretokenizer import PatternName
from groundup.tokenizer.tokenizer import Tokenizer

gguf = pytest.importorskip("gguf")
WORDS = ["The cat sat on the mat, and didn't the 12345 dogs bark?\n\n", "über naïve 漢字 🙂 x == y\t"] * 20
SCALING = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def config(family: Any, vocabulary: int, **changes: Any) -> LLMConfig:
    """Two layers of width 64 with grouped queries where the family has them."""
    values: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if family == "gpt2" else 2,
        "max_position_embeddings": 128,
    }
    if family in ("mixtral", "qwen3_moe"):
        values |= {"num_experts": 4, "num_experts_per_tok": 2}
    return LLMConfig.like(family, **(values | changes))


def model(shape: LLMConfig, seed: int = 1) -> CustomLanguageModel:
    """Every weight random, and biases and norms away from 0 and 1."""
    made = CustomLanguageModel(shape, seed=None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(mean + 0.15 * torch.randn(parameter.shape, generator=generator))
    return made.eval()


def tokenizer(pattern: PatternName = "qwen2") -> Tokenizer:
    return Tokenizer.train(WORDS, vocabulary=320, pattern=pattern)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": False, "head_dim": 32}),
        ("llama", {"attention_bias": True}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 128}),  # transformers' reader takes 128, whatever the file has
        ("gpt2", {"intermediate_size": 256, "max_position_embeddings": 1024}),  # and these
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_transformers_reads_the_same_model(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    """Its own reader of GGUF undoes llama.cpp's layout of queries and keys, and gives our logits."""
    transformers = pytest.importorskip("transformers")
    words = tokenizer()
    made = model(config(family, words.vocabulary_size, **changes))
    write_gguf(tmp_path / "m.gguf", made, words, "f32", name="m", template=None)
    if changes.get("attention_bias"):  # transformers' reader knows no biases of Llama's; the rows' order is checked
        stored = {one.name: one.data for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
        bias = made.model.layers[0].self_attn.q_proj.bias.detach().numpy()
        assert np.array_equal(stored["blk.0.attn_q.bias"], bias.reshape(4, 2, -1).swapaxes(1, 2).reshape(-1))
        return
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    idx = tiny.ids(2, 40, vocabulary=words.vocabulary_size)
    with torch.no_grad():
        assert torch.allclose(made(idx)[0], theirs(idx).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "off"), [("f16", 1e-3), ("bf16", 5e-3), ("q8_0", 6e-3), ("q4_0", 0.12)])
def test_matrices_are_stored_in_the_type_asked_for(kind: GgufType, off: float, tmp_path: Path) -> None:
    """Matrices within the type's error, all else exactly."""
    words = tokenizer()
    made = model(config("llama", words.vocabulary_size))
    write_gguf(tmp_path / "m.gguf", made, words, kind, name="m", template=None)
    stored = {one.name: one for one in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    matrix, norm = stored["blk.1.ffn_down.weight"], stored["blk.1.ffn_norm.weight"]
    assert matrix.tensor_type.name == kind.upper() and norm.tensor_type.name == "F32"
    weight = made.model.layers[1].mlp.down_proj.weight.detach().numpy()
    error = np.abs(gguf.dequantize(matrix.data, matrix.tensor_type) - weight).max()
    assert 0 < error < off
    assert np.array_equal(norm.data, made.model.layers[1].post_attention_layernorm.weight.detach().numpy())


@pytest.mark.parametrize(("pattern", "pre"), [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2")])
def test_the_tokenizer_goes_along(pattern: PatternName, pre: str, tmp_path: Path) -> None:
    """Its pre-tokenizer by name, tokens, merges and special tokens by their ids, and the template."""
    words = tokenizer(pattern)
    made = model(config("llama", words.vocabulary_size + 3))
    write_gguf(tmp_path / "m.gguf", made, words, "f32", name="m", template=GGUF_TEMPLATE)
    fields = {name: field.contents() for name, field in gguf.GGUFReader(tmp_path / "m.gguf").fields.items()}
    assert fields["tokenizer.ggml.pre"] == pre
    written = json.loads(json.dumps(fields["tokenizer.ggml.tokens"]))
    words.save(tmp_path / "tokenizer.json")
    theirs = json.loads((tmp_path / "tokenizer.json").read_text())
    ids = theirs["model"]["vocab"] | {one["content"]: one["id"] for one in theirs["added_tokens"]}
    assert {token: at for at, token in enumerate(written) if not token.startswith("[UNUSED")} == ids
    assert [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]] == theirs["model"]["merges"]
    kinds = fields["tokenizer.ggml.token_type"]
    assert kinds[-3:] == [5, 5, 5] and {kinds[token] for token in words.special_ids.values()} == {3}
    assert fields["tokenizer.ggml.eos_token_id"] == words.end
    assert fields["tokenizer.chat_template"] == GGUF_TEMPLATE and "generation %}" not in GGUF_TEMPLATE
    assert "{% generation %}" in TEMPLATE


@pytest.mark.parametrize(
    ("family", "changes", "kind", "reason"),
    [
        ("mistral", {"sliding_window": 64}, "f32", "sliding window"),
        ("llama", {"hidden_act": "relu2"}, "f32", "hidden_act|activation silu"),
        ("gpt2", {"hidden_act": "gelu"}, "f32", "activation gelu_new"),
        ("qwen3", {"attention_bias": True}, "f32", "attention_bias"),
        ("qwen3_moe", {"norm_topk_prob": False}, "f32", "norm_topk_prob"),
        ("qwen3_moe", {"mlp_only_layers": (0,)}, "f32", "every layer or in none"),
        ("llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "f32", "yarn"),
        ("llama", {"intermediate_size": 100}, "q8_0", "rows of 64|rows of 100|multiple of the 32"),
        ("llama", {"final_logit_softcapping": 30.0}, "f32", "final_logit_softcapping"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(
    family: str, changes: dict[str, Any], kind: GgufType, reason: str
) -> None:
    with pytest.raises(GroundupError, match=reason) as refused:
        check(config(family, 300, **changes), kind)
    assert "GGUF can't hold this model" in str(refused.value)


def test_what_it_can_hold_is_not_refused() -> None:
    """A window as long as the context, experts everywhere, stretched RoPE of a kind that llama.cpp has."""
    check(config("mistral", 300, sliding_window=128), "q4_0")
    check(config("mixtral", 300), "f16")
    check(config("llama", 300, rope_scaling=SCALING), "f32")


def test_a_folder_becomes_a_file_with_its_recipe(tmp_path: Path) -> None:
    """From a Hugging Face folder: the file, Ollama's Modelfile with the turns' tokens, and nothing over another."""
    words = tokenizer()
    made = model(config("llama", words.vocabulary_size))
    ends = {"end_of_text": words.end_of_text, "end": words.end, "pad": words.pad}
    save_huggingface(tmp_path / "own", made, "float32", **ends)
    words.save(tmp_path / "own" / "tokenizer.json")
    file = export_gguf(tmp_path / "own", tmp_path / "out", "q8_0", {})
    assert file.name == "own-q8_0.gguf"
    recipe = (tmp_path / "out" / "Modelfile").read_text()
    assert recipe == modelfile(file.name, 128)
    assert recipe.startswith("FROM ./own-q8_0.gguf\n") and 'PARAMETER stop "<|end|>"' in recipe
    with pytest.raises(GroundupError, match="exists already"):
        export_gguf(tmp_path / "own", tmp_path / "out", "q8_0", {})
    assert load_folder(tmp_path / "own").stop == {words.end, words.end_of_text}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2", "mixtral", "qwen3_moe"])
def test_llama_cpp_computes_the_same(family: str, tmp_path: Path) -> None:
    """Logits in F32 within 1e-3 (gpt2: its table of gelu values is in float16), and the same 32 greedy tokens."""
    pytest.importorskip("cyllama")
    words = tokenizer()
    made = model(config(family, words.vocabulary_size))
    write_gguf(tmp_path / "m.gguf", made, words, "f32", name="m", template=None)
    prompt = words.encode("The cat sat on the 12 mats")
    ours = list(prompt)
    with torch.no_grad():
        logits = made(torch.tensor([prompt]))[0][0].numpy()
        for _ in range(32):
            ours.append(int(made(torch.tensor([ours]))[0][0, -1].argmax()))
    with LlamaCpp(tmp_path / "m.gguf", exact=True) as theirs:
        assert np.abs(theirs.logits(prompt) - logits).max() < (2e-2 if family == "gpt2" else 1e-3)
        assert theirs.greedy([prompt], 32) == [ours[len(prompt) :]]


@pytest.mark.parametrize("pattern", ["gpt2", "llama3", "qwen2"])
def test_llama_cpp_gives_the_same_ids(pattern: PatternName, tmp_path: Path) -> None:
    """On 1,000 strings of words, digits, white space, scripts, emoji and halves of words."""
    pytest.importorskip("cyllama")
    words = tokenizer(pattern)
    write_gguf(
        tmp_path / "m.gguf", model(config("llama", words.vocabulary_size)), words, "f32", name="m", template=None
    )
    with LlamaCpp(tmp_path / "m.gguf", vocabulary_only=True) as theirs:
        for text in varied_strings(1000):
            assert theirs.tokenize(text) == words.encode(text), repr(text)
