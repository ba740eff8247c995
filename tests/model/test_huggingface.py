"""What is written is what transformers reads, what transformers writes is read, and foreign folders are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from groundup.errors import GroundupError
from groundup.model.huggingface import load_huggingface, save_huggingface
from groundup.model.weights import CONFIG, WEIGHTS, named_weights

ENDS = {"end_of_text": 55, "end": 60, "pad": 56}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_gives_the_same_logits(dtype: str, tied: bool, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    made = tiny.model(tie_word_embeddings=tied, rope_theta=700.0, rms_norm_eps=1e-3)
    save_huggingface(tmp_path, made, dtype, **ENDS)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.dtype == getattr(torch, dtype)
    assert type(theirs).__name__ == "LlamaForCausalLM"
    if dtype == "bfloat16":  # compare what is stored, not how each rounds its products
        theirs = theirs.float()
        made = load_huggingface(tmp_path)
    idx = tiny.ids(3, 40)
    with torch.no_grad():
        assert torch.allclose(made(idx)[0], theirs(idx).logits, rtol=0, atol=1e-4)


def test_transformers_stops_where_we_stop(tmp_path: Path) -> None:
    """Its greedy generation is ours, up to and with the first stop token."""
    from transformers import AutoModelForCausalLM

    from groundup.inference.generate import generate

    made = tiny.model(seed=5, tie_word_embeddings=False)  # a tied random model says the same token for ever
    prompt = tiny.ids(1, 6, seed=2)
    (free,) = generate(made, prompt.tolist(), stop=-1, max_tokens=12)
    stop = next(token for token in free.tokens[1:] if token != free.tokens[0])
    save_huggingface(tmp_path, made, "float32", end_of_text=55, end=stop, pad=56)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    given = theirs.generate(prompt, max_new_tokens=12, attention_mask=torch.ones_like(prompt))[0, 6:].tolist()
    (ours,) = generate(made, prompt.tolist(), stop=stop, max_tokens=12)
    assert ours.ended
    assert given == ours.tokens == free.tokens[: free.tokens.index(stop) + 1]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_round_trip_is_bit_exact(tied: bool, tmp_path: Path) -> None:
    made = tiny.model(tie_word_embeddings=tied, rope_theta=700.0)
    save_huggingface(tmp_path, made, "float32", **ENDS)
    back = load_huggingface(tmp_path)
    assert back.config == made.config
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_what_transformers_saved_is_read(tied: bool, tmp_path: Path) -> None:
    """Transformers 5 keeps the angle's base under `rope_parameters` alone."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = tiny.shape(tie_word_embeddings=tied).model_dump(exclude={"notes", "rope_theta"})
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(LlamaConfig(**shape, rope_parameters={"rope_type": "default", "rope_theta": 123.0}))
    theirs = theirs.float().eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    ours = load_huggingface(tmp_path)
    assert ours.config.rope_theta == 123.0
    with torch.no_grad():
        assert torch.allclose(ours(tiny.ids(2, 30))[0], theirs(tiny.ids(2, 30)).logits, rtol=0, atol=1e-4)


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


DAMAGES = {
    "another architecture": changed(model_type="gpt2"),
    "another activation": changed(hidden_act="gelu"),
    "stretched positions": changed(rope_parameters={"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5}),
    "stretched positions, old spelling": changed(rope_scaling={"type": "linear", "factor": 2.0}, rope_parameters=None),
    "another width": changed(hidden_size=64),
    "a word for a number": changed(hidden_size="wide"),
    "no head count": removed("num_attention_heads"),
    "a list": written(CONFIG, b"[]"),
    "no JSON": written(CONFIG, b"{"),
    "no UTF-8": written(CONFIG, b"\xff\xfe"),
    "no tensors": written(WEIGHTS, b""),
    "noise for tensors": written(WEIGHTS, bytes(range(256)) * 9),
    "biases": bias,
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "no configuration": lambda folder: (folder / CONFIG).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_foreign_and_damaged_folders(damage, tmp_path: Path) -> None:
    save_huggingface(tmp_path, tiny.model(), "float32", **ENDS)
    load_huggingface(tmp_path)
    damage(tmp_path)
    with pytest.raises(GroundupError) as error:
        load_huggingface(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
