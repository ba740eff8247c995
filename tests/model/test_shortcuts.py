"""Ways around the layers and the start at unit scale: the cache gives what a whole pass gives, documents stay apart,
other programs get the same logits or a reason."""

from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.export.gguf import check
from groundup.inference import compiled
from groundup.inference.continuation import continue_prompts
from groundup.model.cache import Appended, KeyValueCache
from groundup.model.configuration import FAST, SHORTCUTS, UNIT_START
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface, save_huggingface
from groundup.model.inputs import DecoderInputs
from groundup.model.weights import load_model, save_model

UNTIED = {"tie_word_embeddings": False}


def fast(**changes: Any) -> CustomLanguageModel:
    return tiny.model(**{**FAST, **UNTIED, "num_hidden_layers": 4, **changes}).eval()


@pytest.mark.parametrize("only", [*SHORTCUTS, "all"])
@torch.no_grad()
def test_a_cache_gives_what_a_whole_pass_gives(only: str) -> None:
    """A prompt in two chunks, then single tokens, in a slot that was copied and exchanged on the way."""
    chosen = {name: only in (name, "all") for name in SHORTCUTS}
    made, ids = fast(**chosen), tiny.ids(1, 12)
    whole = made.features(DecoderInputs(ids))
    cache = KeyValueCache(made.config, 3, 32, torch.float32, "cpu")

    def append(start: int, end: int, slot: int) -> torch.Tensor:
        return made.features(DecoderInputs(ids[:, start:end], cache=Appended(cache, [start], [end - start], slot)))

    parts = [append(0, 5, 1), append(5, 9, 1)]
    cache.copy(1, 0, 9)
    cache.swap(0, 2, 9)
    parts += [append(at, at + 1, 2) for at in range(9, 12)]
    assert torch.allclose(torch.cat(parts, 1), whole, rtol=0, atol=1e-5)


@torch.no_grad()
def test_each_way_changes_what_comes_out() -> None:
    """So the test above compares something."""
    ids, plain = tiny.ids(2, 9), fast(**dict.fromkeys(SHORTCUTS, False))
    for name in SHORTCUTS:
        made = fast(**{other: other == name for other in SHORTCUTS})
        made.load_state_dict(plain.state_dict(), strict=False)
        assert not torch.allclose(made(ids)[0], plain(ids)[0], atol=1e-3), name


@torch.no_grad()
def test_documents_in_a_row_dont_see_each_other() -> None:
    made, one, other = fast(), tiny.ids(1, 7), tiny.ids(1, 5, seed=1)
    both, documents = torch.cat((one, other), 1), torch.tensor([[0] * 7 + [1] * 5])
    apart = torch.cat([made.features(DecoderInputs(ids)) for ids in (one, other)], 1)
    assert torch.allclose(made.features(DecoderInputs(both, documents)), apart, rtol=0, atol=1e-5)


def test_parameters_are_those_that_the_configuration_counts() -> None:
    for changes in ({}, {"value_embeddings": False}, {"smear": False, "backout": False}, {"stream_scalars": False}):
        made = fast(**changes)
        assert sum(parameter.numel() for parameter in made.parameters()) == made.config.num_parameters


def test_the_first_loss_is_that_of_a_guess_and_the_stream_has_unit_scale() -> None:
    made = CustomLanguageModel(fast(vocab_size=509, hidden_size=64).config)
    ids = tiny.ids(4, 33, vocabulary=509)
    loss = made.loss_sum(ids[:, :-1], ids[:, 1:]).item() / (4 * 32)
    assert loss == pytest.approx(torch.tensor(509.0).log().item(), abs=0.01)
    embedded = made.model.normed(made.model.embed_tokens(ids))
    assert embedded.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_our_own_folder_gives_the_same_logits(tmp_path: Path) -> None:
    made, ids = fast(), tiny.ids(2, 9)
    save_model(tmp_path, made)
    assert torch.equal(load_model(tmp_path).eval()(ids)[0], made(ids)[0])


def test_others_are_refused_with_a_reason_and_the_numba_kernel_steps_aside(tmp_path: Path) -> None:
    plain = {"hidden_act": "silu", "gated_mlp": True, "final_logit_softcapping": None}
    for name in SHORTCUTS:
        made = fast(**plain, **{other: other == name for other in SHORTCUTS})
        with pytest.raises(GroundupError, match=name):
            save_huggingface(tmp_path, made, "float32")
        with pytest.raises(GroundupError, match=name):
            check(made.config, "f32")
        assert not compiled.supports(made)
    assert compiled.supports(fast(**dict.fromkeys(SHORTCUTS, False)))


@torch.no_grad()
def test_a_norm_after_the_embedding_is_in_the_exported_embedding(tmp_path: Path) -> None:
    """Transformers' logits are ours, and so are the compiled decoder's answers."""
    from transformers import AutoModelForCausalLM

    made = tiny.model(**UNIT_START, **UNTIED, qk_norm=True, rms_norm_eps=1e-6).eval()
    save_huggingface(tmp_path, made, "float32")
    theirs, ids = AutoModelForCausalLM.from_pretrained(tmp_path), tiny.ids(3, 20)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert torch.allclose(theirs(ids).logits, made(ids)[0], rtol=0, atol=1e-4)
    assert torch.allclose(load_huggingface(tmp_path)(ids)[0], made(ids)[0], rtol=0, atol=1e-4)
    (answer,) = continue_prompts(made, ids[:1].tolist(), stop=(), max_tokens=8)
    text = ids[:1]
    for token in answer.tokens:
        assert int(made(text)[0][0, -1].argmax()) == token
        text = torch.cat((text, torch.tensor([[token]])), 1)
