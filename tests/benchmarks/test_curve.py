"""The curve's plain configuration starts where nanoGPT does and reads what it reads."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import nanogpt
from benchmarks.curve import CONTEXT, FAST, PLAIN, train
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from made.prose import documents

SHAKESPEARE = Path(__file__).parents[3] / "shared" / "data" / "corpus" / "tinyshakespeare"


@pytest.fixture
def text() -> str:
    found = sorted(SHAKESPEARE.glob("*.txt"))
    if not found:
        pytest.skip("needs a published data set (../shared/data)")
    return found[0].read_text(encoding="utf-8")


def test_the_published_estimate_before_the_first_step(text: str) -> None:
    """Train 4.1676 and validation 4.1649: every random number up to there is nanoGPT's."""
    first = train(replace(PLAIN, steps=0), text)
    assert first["looks"][0]["estimates"] == pytest.approx([4.1676, 4.1649], abs=5e-5)
    assert first["parameters"] == 804_096


def test_our_model_gives_the_losses_of_theirs() -> None:
    torch.manual_seed(3)
    theirs = nanogpt.NanoGPT(PLAIN.as_nanogpt(65))
    ours = CustomLanguageModel(LLMConfig(vocab_size=65, **PLAIN.common, **PLAIN.shape))
    nanogpt.give_weights(theirs, ours)
    rows = torch.randint(65, (4, CONTEXT + 1))
    _, loss = ours(rows[:, :-1], rows[:, 1:])
    assert loss is not None
    assert loss.item() == pytest.approx(theirs(rows[:, :-1], rows[:, 1:]).item(), abs=1e-5)


def test_the_fast_configuration_learns() -> None:
    found = train(replace(FAST, steps=20, look_every=10), "".join(documents(40))[:60_000])
    assert found["parameters"] <= 804_096
    assert [look["step"] for look in found["looks"]] == [0, 10, 20]
    assert found["looks"][2]["loss"] < found["looks"][1]["loss"] < found["looks"][0]["loss"] < 4.3
