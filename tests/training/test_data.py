"""What a `pretrain` section makes of token shards: all documents equally often, sources by weight, or each so often."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import tiny
from groundup.errors import GroundupError
from groundup.shards.token_file import TokenShard, TokenWriter
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.data import objective_of, source_epochs, steps_of, weights_of
from groundup.training.pretraining import Pretraining

TOKENS = {"wiki": 801, "handbook": 161, "faq": 20}  # 50 samples of 16 tokens, 10 and 1


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for split in ("train", "heldout"):
        with TokenWriter(tmp_path, split, tiny.tokenizer()) as writer:
            for name, tokens in TOKENS.items():
                writer.begin(name)
                writer.append(name, np.full(tokens - 1, len(name)))
    return tmp_path


def made(shards: Path, **given: object) -> tuple[PretrainConfig, Pretraining]:
    config = PretrainConfig(batch_tokens=64, sequence=16, model=ModelShape(context=32), **given)
    return config, objective_of(config, shards, tiny.tokenizer(), seed=3)


def test_without_a_mixture_all_documents_are_read_alike(shards: Path) -> None:
    config, objective = made(shards, tokens=1000)
    assert objective.train.samples == (sum(TOKENS.values()) - 1) // 16
    assert steps_of(config, objective) == 16
    epochs = source_epochs(objective, 16)
    assert list(epochs) == list(TOKENS)
    assert set(epochs.values()) == {64 / objective.train.samples}


def test_fractions_of_the_tokens(shards: Path) -> None:
    config, objective = made(shards, tokens=10_000, mixture={"handbook": 3, "wiki": 1})
    steps = steps_of(config, objective)
    assert steps == 157
    epochs = source_epochs(objective, steps)
    assert epochs == {"wiki": 157 / 50, "handbook": 471 / 10, "faq": 0.0}  # of 628 samples 3/4 are the handbook's
    seen = np.concatenate([batch.inputs_BT.ravel() for step in range(steps) for batch in objective.batches(step)])
    assert (seen == len("handbook")).mean() == pytest.approx(0.75, abs=2e-3)
    assert not (seen == len("faq")).any()


def test_epochs_by_source(shards: Path) -> None:
    config, objective = made(shards, epochs={"handbook": 6, "faq": 0})
    steps = steps_of(config, objective)
    assert steps == (50 + 6 * 10) * 16 / 64 + 0.5  # rounded up to whole steps
    epochs = source_epochs(objective, steps)
    assert epochs == pytest.approx({"wiki": 1.0, "handbook": 6.0, "faq": 0.0}, abs=0.15)


def test_epochs_of_everything(shards: Path) -> None:
    config, objective = made(shards, epochs=2.5)
    assert steps_of(config, objective) * 64 == pytest.approx(2.5 * objective.train.samples * 16, abs=64)
    assert objective.train.weights is None


def test_a_source_that_is_not_there(shards: Path) -> None:
    for key in ("mixture", "epochs"):
        with pytest.raises(GroundupError) as error:
            made(shards, **{key: {"hanbook": 2.0}})
        assert str(error.value) == (
            f"pretrain.{key}: there is no document of a source 'hanbook'; the sources are wiki, handbook, faq"
        )


def test_a_source_too_small_for_a_sequence(shards: Path) -> None:
    shard = TokenShard.open(shards, "train")
    config = PretrainConfig(epochs={"wiki": 2})
    with pytest.raises(GroundupError, match=r"pretrain.epochs: the documents of the source faq are too few .*`faq: 0`"):
        weights_of(config, shard, length=32)
    assert weights_of(PretrainConfig(epochs={"wiki": 2, "faq": 0}), shard, 32) == {"wiki": 50, "handbook": 5}


@pytest.mark.parametrize(
    "given",
    [{"tokens": 5, "epochs": 2}, {"mixture": {"a": 1}, "epochs": {"a": 1}}, {"mixture": {"a": 0}}, {"epochs": 0}],
)
def test_what_a_section_may_not_say(given: dict) -> None:
    with pytest.raises(ValidationError):
        PretrainConfig(**given)


def test_shards_of_another_tokenizer_are_refused_before_training(shards: Path) -> None:
    config = PretrainConfig(tokens=100, batch_tokens=64, sequence=16)
    with pytest.raises(GroundupError, match="holds the ids of another tokenizer"):
        objective_of(config, shards, Tokenizer(tiny.MERGES[:-1]), seed=3)
