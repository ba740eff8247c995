"""Adapters: zero at the start, trained alone, the same when merged, and exchanged with PEFT."""

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor

import tiny
from groundup.errors import GroundupError
from groundup.inference.continuation import continue_prompts
from groundup.model.adapter_files import ADAPTER, ADAPTER_CONFIG, load_adapter, save_adapter
from groundup.model.configuration import FAMILIES
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import save_huggingface
from groundup.model.lora import adapters_of, adapters_off, add_adapters
from groundup.model.lora_config import LoraConfig
from groundup.model.weights import load_model, named_weights, save_model

GPT2 = FAMILIES["gpt2"] | {"num_key_value_heads": 4}
QWEN3 = FAMILIES["qwen3"]


def logits(model: CustomLanguageModel, seed: int = 3) -> Tensor:
    with torch.no_grad():
        return model(tiny.ids(2, 12, seed))[0]


def adapted(learnt: bool = True, config: LoraConfig | None = None, **shape: Any) -> CustomLanguageModel:
    """A model with adapters whose matrices are random, as if trained."""
    model = tiny.model(**shape)
    add_adapters(model, config or LoraConfig(rank=3, alpha=6))
    generator = torch.Generator().manual_seed(5)
    for adapter in adapters_of(model).values() if learnt else ():
        with torch.no_grad():
            adapter.lora_B.copy_(0.3 * torch.randn(adapter.lora_B.shape, generator=generator))
    return model


@pytest.mark.parametrize("shape", [{}, GPT2, QWEN3], ids=["llama", "gpt2", "qwen3"])
def test_it_begins_as_the_model_and_switched_off_it_is_the_model(shape: dict[str, Any]) -> None:
    plain = logits(tiny.model(**shape))
    assert torch.equal(logits(adapted(learnt=False, **shape)), plain)
    model = adapted(**shape)
    assert (logits(model) - plain).abs().max() > 0.1
    with adapters_off(model):
        assert torch.equal(logits(model), plain)
    assert (logits(model) - plain).abs().max() > 0.1


@pytest.mark.parametrize("shape", [{}, GPT2, {"tie_word_embeddings": False}], ids=["llama", "gpt2", "untied"])
def test_merged_it_computes_the_same(shape: dict[str, Any], tmp_path: Path) -> None:
    model = adapted(**shape)
    save_model(tmp_path, model)
    merged = load_model(tmp_path)
    assert not adapters_of(merged) and named_weights(merged).keys() == named_weights(model).keys()
    assert (logits(merged) - logits(model)).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_sampled_is_the_adapted_model(dtype: torch.dtype, tmp_path: Path) -> None:
    """As PPO samples from a policy with adapters, by the compiled step too."""
    model, prompts = adapted(), [[1, 2, 3], [4, 5]]
    save_model(tmp_path, model)

    def answers(of: CustomLanguageModel) -> list[list[int]]:
        return [one.tokens for one in continue_prompts(of, prompts, stop=(), max_tokens=8, dtype=dtype)]

    found = answers(model)
    assert found == answers(load_model(tmp_path))
    with adapters_off(model):
        assert answers(model) == answers(tiny.model()) != found


def test_only_adapters_learn_and_only_they_are_saved_and_resumed() -> None:
    model = adapted(learnt=False)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    engine = tiny.engine(model)
    batch = tiny.ids(4, 13)

    def loss(of: Any, ids_BT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return of.loss_sum(ids_BT[:, :-1], ids_BT[:, 1:]), {}

    losses = [engine.train_step([batch], [48.0], loss, 1e-2, 1.0).loss for _ in range(4)]
    state = {name: tensor.clone() for name, tensor in engine.state().items()}
    losses += [engine.train_step([batch], [48.0], loss, 1e-2, 1.0).loss for _ in range(4)]
    assert losses[-1] < losses[0] - 0.2
    again = tiny.engine(adapted(learnt=False))
    again.restore(state)
    assert [again.train_step([batch], [48.0], loss, 1e-2, 1.0).loss for _ in range(4)] == losses[4:]
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if ".lora_" in name}
    assert {name.removeprefix("model.") for name in engine.state() if name.startswith("model.")} == moved


def test_dropout_is_the_adapters_alone() -> None:
    model = adapted(config=LoraConfig(dropout=0.5), resid_pdrop=0.3, attention_dropout=0.3)
    model.train()
    with adapters_off(model):
        assert torch.equal(logits(model), logits(model))
    assert not torch.equal(logits(model), logits(model))


def theirs(folder: Path, model: CustomLanguageModel) -> Any:
    """The model under the adapters, as transformers has it."""
    with adapters_off(model):
        plain = tiny.model(**model.config.model_dump(exclude={"notes"}))
    save_huggingface(folder, plain, "float32", end_of_text=0, end=1, pad=2)
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


SHAPES = {
    "llama": {},
    "qwen3": QWEN3,
    "gpt2": GPT2,
    "queries and outputs of gpt2": GPT2,
}


@pytest.mark.parametrize("case", SHAPES)
def test_peft_loads_the_files_and_computes_the_same(case: str, tmp_path: Path) -> None:
    targets = {"targets": ("q_proj", "o_proj")} if "outputs" in case else {}
    model = adapted(config=LoraConfig(rank=3, alpha=6, **targets), **SHAPES[case])
    save_adapter(tmp_path / "adapter", model)
    loaded = peft.PeftModel.from_pretrained(theirs(tmp_path / "base", model), tmp_path / "adapter")
    with torch.no_grad():
        found = loaded(tiny.ids(2, 12, 3)).logits
    assert (found - logits(model)).abs().max() < 1e-5
    back = tiny.model(**SHAPES[case])
    load_adapter(back, tmp_path / "adapter")
    assert (logits(back) - logits(model)).abs().max() < 1e-5


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("case", ["llama", "gpt2"])
def test_peft_s_own_adapters_are_read(case: str, rslora: bool, tmp_path: Path) -> None:
    model = tiny.model(**SHAPES[case])
    targets = ["c_attn", "mlp.c_proj"] if case == "gpt2" else ["q_proj", "down_proj"]
    given = peft.LoraConfig(r=4, lora_alpha=10, target_modules=targets, use_rslora=rslora, init_lora_weights=False)
    torch.manual_seed(1)
    wrapped = peft.get_peft_model(theirs(tmp_path / "base", model), given)
    wrapped.save_pretrained(tmp_path / "adapter")
    load_adapter(model, tmp_path / "adapter")
    with torch.no_grad():
        found = wrapped(tiny.ids(2, 12, 3)).logits
    assert (found - logits(model)).abs().max() < 1e-5
    assert (found - logits(tiny.model(**SHAPES[case]))).abs().max() > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "it is not LoRA"),
        ({"bias": "all"}, "it has biases of its own"),
        ({"use_dora": True}, "it uses use_dora"),
    ],
)
def test_other_adapters_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_adapter(tmp_path, adapted())
    config = json.loads((tmp_path / ADAPTER_CONFIG).read_text())
    (tmp_path / ADAPTER_CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(GroundupError, match=message):
        load_adapter(tiny.model(), tmp_path)


def test_adapters_of_another_model_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path, adapted())
    with pytest.raises(GroundupError, match=r"matrix of model.layers.0.* is \[32, 3\], the model needs \[40, 3\]"):
        load_adapter(tiny.model(hidden_size=40, head_dim=10), tmp_path)
    with pytest.raises(GroundupError, match=r"no linear module model.layers.1"):
        load_adapter(tiny.model(num_hidden_layers=1), tmp_path)
    (tmp_path / ADAPTER).write_bytes((tmp_path / ADAPTER).read_bytes()[:100])
    with pytest.raises(GroundupError, match="can't be read"):
        load_adapter(tiny.model(), tmp_path)
    with pytest.raises(GroundupError, match="no layer has gate_proj"):
        add_adapters(tiny.model(**GPT2), LoraConfig(targets=("gate_proj",)))
