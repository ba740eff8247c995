"""What is written is what transformers reads, what transformers writes is read, and foreign folders are refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import pytest
import torch
from families import ENDS, SHAPES
from safetensors.torch import load_file, save_file

import tiny
from groundup.errors import GroundupError
from groundup.model.huggingface import load_huggingface, save_huggingface
from groundup.model.huggingface_config import read_huggingface_config
from groundup.model.weights import CONFIG, INDEX, WEIGHTS, named_weights


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_gives_the_same_logits(dtype: str, tied: bool, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = tiny.model(tie_word_embeddings=tied, rope_theta=700.0, rms_norm_eps=1e-3)
    save_huggingface(tmp_path, made, dtype, **ENDS)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert theirs.dtype == getattr(torch, dtype)
    assert type(theirs).__name__ == "LlamaForCausalLM"
    if dtype == "bfloat16":  # compare what is stored, not how each rounds its matmuls
        theirs = theirs.float()
        made = load_huggingface(tmp_path)
    idx = tiny.ids(3, 40)
    with torch.no_grad():
        assert torch.allclose(made(idx)[0], theirs(idx).logits, rtol=0, atol=1e-4)


def test_transformers_stops_where_we_stop(tmp_path: Path) -> None:
    """Its greedy generation is ours, up to and with the first stop token."""
    from transformers import AutoModelForCausalLM

    from groundup.inference.continuation import continue_prompts

    made = tiny.model(seed=5, tie_word_embeddings=False)  # a tied random model says the same token for ever
    prompt = tiny.ids(1, 6, seed=2)
    (free,) = continue_prompts(made, prompt.tolist(), stop=(), max_tokens=12)
    stop = next(token for token in free.tokens[1:] if token != free.tokens[0])
    save_huggingface(tmp_path, made, "float32", end_of_text=55, end=stop, pad=56)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    given = theirs.generate(prompt, max_new_tokens=12, attention_mask=torch.ones_like(prompt))[0, 6:].tolist()
    (ours,) = continue_prompts(made, prompt.tolist(), stop={stop}, max_tokens=12)
    assert ours.ended
    assert given == ours.tokens == free.tokens[: free.tokens.index(stop) + 1]


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_is_bit_exact(shape: str, tmp_path: Path) -> None:
    made = families.make(shape)
    save_huggingface(tmp_path, made, "float32", **ENDS)
    back = load_huggingface(tmp_path)
    assert back.config == made.config
    assert named_weights(back).keys() == named_weights(made).keys()
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())
    assert not back.training
    again = tmp_path / "again"
    save_huggingface(again, back, "float32", **ENDS)
    assert all((again / name).read_bytes() == (tmp_path / name).read_bytes() for name in (CONFIG, WEIGHTS))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_transformers_saved_is_read(shape: str, tmp_path: Path) -> None:
    """Its own configuration and layout, with weights that it drew and we moved; shards too."""
    theirs = families.transformers_of(families.make(shape), tmp_path / "first")
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    theirs.save_pretrained(tmp_path / "second", max_shard_size="20KB")
    assert (tmp_path / "second" / INDEX).exists()
    ours = load_huggingface(tmp_path / "second")
    assert ours.config == families.make(shape).config
    with torch.no_grad():
        assert torch.allclose(ours(tiny.ids(2, 30))[0], theirs(tiny.ids(2, 30)).logits, rtol=0, atol=1e-4)


def test_shards(tmp_path: Path) -> None:
    """Written above a size, read by transformers and by us, and gone when the next export is small."""
    from transformers import AutoModelForCausalLM

    made = families.make("mixtral")
    save_huggingface(tmp_path, made, "float32", **ENDS, shard_bytes=30_000)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert all((tmp_path / file).stat().st_size < 33_000 for file in files)
    assert not (tmp_path / WEIGHTS).exists()
    back = named_weights(load_huggingface(tmp_path))
    assert all(torch.equal(tensor, back[name]) for name, tensor in named_weights(made).items())
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path)(tiny.ids(2, 30)).logits
        assert torch.allclose(theirs, made(tiny.ids(2, 30))[0], rtol=0, atol=1e-4)
    save_huggingface(tmp_path, made, "float32", **ENDS)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == [WEIGHTS]


def test_both_generations_of_transformers_find_their_keys(tmp_path: Path) -> None:
    save_huggingface(tmp_path, families.make("llama 3 scaling"), "bfloat16", **ENDS)
    found = json.loads((tmp_path / CONFIG).read_text())
    scaling = families.LLAMA3 | {"low_freq_factor": 1.0}
    assert found["rope_theta"] == 500.0 and found["rope_scaling"] == scaling
    assert found["rope_parameters"] == scaling | {"rope_theta": 500.0}
    assert found["dtype"] == found["torch_dtype"] == "bfloat16"


def test_gpt2_as_it_was_first_published(tmp_path: Path) -> None:
    """Names without a prefix, masks among the tensors, no inner width, and keys that mean nothing here."""
    made = families.make("gpt2", intermediate_size=128)
    save_huggingface(tmp_path, made, "float32", **ENDS)
    tensors = {name.removeprefix("transformer."): t for name, t in load_file(tmp_path / WEIGHTS).items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64).tril() for layer in range(2)}
    masks |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(2)}
    save_file(tensors | masks | {"lm_head.weight": tensors["wte.weight"].clone()}, tmp_path / WEIGHTS)
    given = json.loads((tmp_path / CONFIG).read_text())
    kept = {key: given[key] for key in given if key not in ("n_inner", "tie_word_embeddings", "activation_function")}
    more = {"n_ctx": 64, "summary_type": "cls_index", "task_specific_params": {"text-generation": {"max_length": 50}}}
    (tmp_path / CONFIG).write_text(json.dumps(kept | more))
    back = load_huggingface(tmp_path)
    assert back.config == made.config
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())


ASSUMED = {
    "llama": ("LlamaConfig", {"rms_norm_eps", "rope_theta", "num_key_value_heads", "hidden_act", "mlp_bias"}),
    "mistral": ("MistralConfig", {"rms_norm_eps", "num_key_value_heads", "sliding_window", "tie_word_embeddings"}),
    "mixtral": ("MixtralConfig", {"rms_norm_eps", "rope_theta", "num_key_value_heads", "sliding_window"}),
    "qwen2": ("Qwen2Config", {"rms_norm_eps", "rope_theta", "num_key_value_heads", "tie_word_embeddings"}),
    "qwen3": ("Qwen3Config", {"rms_norm_eps", "head_dim", "num_key_value_heads", "attention_bias"}),
    "qwen3_moe": ("Qwen3MoeConfig", {"norm_topk_prob", "num_key_value_heads", "router_aux_loss_coef"}),
    "gpt2": ("GPT2Config", {"activation_function", "n_inner", "layer_norm_epsilon", "tie_word_embeddings"}),
}  # fmt: skip


@pytest.mark.parametrize("family", ASSUMED)
def test_absent_keys_mean_what_transformers_takes_them_for(family: str) -> None:
    """A file with its sizes alone is read as the file in which transformers has spelt everything out."""
    import transformers

    name, keys = ASSUMED[family]
    config = getattr(transformers, name)(num_hidden_layers=2)
    spelt = {key: value for key, value in config.to_dict().items() if value is not None or key in keys}
    spelt["model_type"] = family
    absent = {key: value for key, value in spelt.items() if key not in keys | {"rope_parameters"}}
    where = Path("config.json")
    if "head_dim" not in keys:
        absent.pop("head_dim", None)
    assert read_huggingface_config(absent, where) == read_huggingface_config(spelt, where)


CANNOT = {
    "a cap on the logits": ({"final_logit_softcapping": 30.0}, "llama can't say that final_logit_softcapping is 30.0"),
    "muP": ({"mup_base_width": 16}, "mup_base_width is 16"),
    "no gate": ({"gated_mlp": False}, "gated_mlp is False"),
    "a window and biases": ({"sliding_window": 4, "mlp_bias": True}, "mistral can't say that mlp_bias is True"),
    "shared heads in GPT-2": ({"position_embedding": "learned", "norm": "layer_norm", "gated_mlp": False},
                              "gpt2 can't say that num_key_value_heads is 2"),
    "LayerNorm with RoPE": ({"norm": "layer_norm"}, "norm is 'layer_norm'"),
    "unequal experts": ({"num_experts": 2, "moe_intermediate_size": 7}, "mixtral can't say that moe_intermediate_size"),
}  # fmt: skip


@pytest.mark.parametrize("case", CANNOT)
def test_what_transformers_has_no_model_for_is_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, words = CANNOT[case]
    with pytest.raises(GroundupError, match=re.escape(words)):
        save_huggingface(tmp_path / "out", tiny.model(**changes), "float32", **ENDS)
    assert not (tmp_path / "out").exists()


def test_gpt2_without_biases_is_exported_with_zeros(tmp_path: Path) -> None:
    made = families.make("gpt2", attention_bias=False, mlp_bias=False, norm_bias=False).eval()
    theirs = families.transformers_of(made, tmp_path)
    with torch.no_grad():
        expected = theirs(tiny.ids(2, 30)).logits
        assert torch.allclose(made(tiny.ids(2, 30))[0], expected, rtol=0, atol=1e-4)
        assert torch.allclose(load_huggingface(tmp_path)(tiny.ids(2, 30))[0], expected, rtol=0, atol=1e-4)


def changed(**values: Any):
    def damage(folder: Path) -> None:
        (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | values))

    return damage


def removed(*names: str):
    def damage(folder: Path) -> None:
        content = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({key: content[key] for key in content if key not in names}))

    return damage


def written(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def bias(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}, folder / WEIGHTS)


def without(part: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        save_file({n: t for n, t in load_file(folder / WEIGHTS).items() if part not in n}, folder / WEIGHTS)

    return damage


def more_experts(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    one = {n.replace("experts.3.", "experts.4."): t.clone() for n, t in tensors.items() if ".experts.3." in n}
    save_file(tensors | one, folder / WEIGHTS)


def another_head(folder: Path) -> None:
    save_file(load_file(folder / WEIGHTS) | {"lm_head.weight": torch.zeros(61, 32)}, folder / WEIGHTS)


ONE = "model-00001-of-00001.safetensors"


def index(content: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / ONE)
        (folder / INDEX).write_text(json.dumps(content))

    return damage


SCALED = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 10_000.0, "original_max_position_embeddings": 8}
DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "another architecture": ("llama", changed(model_type="bloom"), "model_type is 'bloom'"),
    "another family's file": ("llama", changed(model_type="gpt2"), "intermediate_size is 48"),
    "an unknown activation": ("llama", changed(hidden_act="xielu"), "hidden_act"),
    "an unknown key": ("llama", changed(logit_scale=0.5), "logit_scale is 0.5"),
    "a quantised file": ("llama", changed(quantization_config={"bits": 4}), "quantization_config"),
    "another way to stretch": ("llama", changed(rope_scaling={"type": "dynamic", "factor": 2.0}), "'dynamic'"),
    "a key of stretching": ("llama", changed(rope_scaling=SCALED | {"long_factor": [1.0]}), "long_factor"),
    "half the head turned": ("llama", changed(partial_rotary_factor=0.5), "partial_rotary_factor is 0.5"),
    "two angles": ("llama", changed(rope_theta=1e6), "rope_theta is 1000000.0, but 500.0 in rope_parameters"),
    "scaled by layer": ("gpt2", changed(scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx"),
    "unscaled": ("gpt2", changed(scale_attn_weights=False), "scale_attn_weights is False"),
    "noise in the router": ("mixtral", changed(router_jitter_noise=0.1), "router_jitter_noise is 0.1"),
    "layers that differ": ("mistral", changed(layer_types=["full_attention", "sliding_attention"]), "layer_types"),
    "another width": ("llama", changed(hidden_size=64), "tensor model.embed_tokens.weight is [61, 32]"),
    "a word for a number": ("llama", changed(hidden_size="wide"), "hidden_size"),
    "no head count": ("llama", removed("num_attention_heads"), "num_attention_heads"),
    "no width": ("gpt2", removed("n_embd"), "hidden_size"),
    "a list": ("llama", written(CONFIG, b"[]"), "no JSON object"),
    "no JSON": ("llama", written(CONFIG, b"{"), CONFIG),
    "no UTF-8": ("llama", written(CONFIG, b"\xff\xfe"), CONFIG),
    "no tensors": ("llama", written(WEIGHTS, b""), WEIGHTS),
    "noise for tensors": ("llama", written(WEIGHTS, bytes(range(256)) * 9), WEIGHTS),
    "biases": ("llama", bias, "q_proj.bias is unknown"),
    "no weights": ("llama", lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "no configuration": ("llama", lambda folder: (folder / CONFIG).unlink(), CONFIG),
    "an expert missing": ("mixtral", without("experts.2.w3"), "experts.2.w3.weight is missing"),
    "a layer missing": ("gpt2", without("h.1.attn"), "layers.1.self_attn"),
    "an expert too many": ("mixtral", more_experts, "more than 4 experts"),
    "a head that is not tied": ("llama", another_head, "lm_head.weight differs"),
    "an index of other files": ("llama", index({"weight_map": {"a": "../model.safetensors"}}), INDEX),
    "an index of a missing file": ("llama", index({"weight_map": {"a": "model-00002-of-00002.safetensors"}}), "00002"),
    "an index of other tensors": (
        "llama",
        index({"weight_map": {"a": "model-00001-of-00001.safetensors"}}),
        "tensor a",
    ),
    "an index of nothing": ("llama", index([]), INDEX),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_foreign_and_damaged_folders(name: str, tmp_path: Path) -> None:
    shape, damage, words = DAMAGES[name]
    save_huggingface(tmp_path, families.make(shape), "float32", **ENDS)
    load_huggingface(tmp_path)
    damage(tmp_path)
    with pytest.raises(GroundupError) as error:
        load_huggingface(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1
