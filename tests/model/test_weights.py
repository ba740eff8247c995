"""Saved models come back bit for bit, and a folder that is not a whole model is a one-line error."""

import json
from pathlib import Path

import families
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from groundup.errors import GroundupError
from groundup.model.weights import CONFIG, WEIGHTS, load_model, named_weights, save_model


@pytest.mark.parametrize("tied", [True, False])
def test_round_trip_is_bit_exact(tied: bool, tmp_path: Path) -> None:
    made = tiny.model(tie_word_embeddings=tied)
    save_model(tmp_path, made)
    back = load_model(tmp_path)
    assert back.config == made.config
    assert named_weights(back).keys() == named_weights(made).keys()
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())
    assert ("lm_head.weight" in load_file(tmp_path / WEIGHTS)) is not tied
    assert (back.lm_head.weight is back.model.embed_tokens.weight) is tied
    again = tmp_path / "again"
    save_model(again, back)
    assert all((again / name).read_bytes() == (tmp_path / name).read_bytes() for name in (CONFIG, WEIGHTS))


@pytest.mark.parametrize("shape", families.SHAPES)
def test_every_shape_comes_back(shape: str, tmp_path: Path) -> None:
    """Also what transformers has no name for."""
    made = families.make(shape, final_logit_softcapping=9.0, mup_base_width=16)
    save_model(tmp_path, made)
    back = load_model(tmp_path)
    assert back.config == made.config
    assert all(torch.equal(tensor, named_weights(back)[name]) for name, tensor in named_weights(made).items())


def no_file(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def no_configuration(folder: Path) -> None:
    (folder / CONFIG).unlink()


def cut_short(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-10])


def no_json(folder: Path) -> None:
    (folder / CONFIG).write_text("{")


def unknown_key(folder: Path) -> None:
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | {"rope": 1}))


def other_width(folder: Path) -> None:
    content = json.loads((folder / CONFIG).read_text()) | {"intermediate_size": 40}
    (folder / CONFIG).write_text(json.dumps(content))


def more_layers(folder: Path) -> None:
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | {"num_hidden_layers": 3}))


def one_more_tensor(folder: Path) -> None:
    save_file(load_file(folder / WEIGHTS) | {"model.extra": torch.zeros(1)}, folder / WEIGHTS)


DAMAGES = [no_file, no_configuration, cut_short, no_json, unknown_key, other_width, more_layers, one_more_tensor]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folders(damage, tmp_path: Path) -> None:
    save_model(tmp_path, tiny.model())
    load_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(GroundupError) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
