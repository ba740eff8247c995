"""Megatron-core's checkpoints, read and written without Megatron."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.model.weights import named_weights
from groundup.parallel.megatron import torch_dist
from groundup.parallel.megatron.converter import to_megatron


@pytest.mark.parametrize("tied", [True, False])
def test_weights_come_back_bit_for_bit(tmp_path: Path, tied: bool) -> None:
    made = tiny.model(tie_word_embeddings=tied, qk_norm=True, num_hidden_layers=3)
    torch_dist.write(tmp_path, to_megatron(named_weights(made), made.config))
    back = torch_dist.read_weights(tmp_path, made.config)
    assert back.keys() == named_weights(made).keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in named_weights(made).items())
    whole = torch_dist.read(tmp_path, made.config)
    assert whole.keys() == {f"model.{name}" for name in back}  # no optimizer state, hence no steps
    assert not torch_dist.from_distributed_optimizer(tmp_path)


def test_names_are_those_of_layers_with_their_norms_inside() -> None:
    norm = torch_dist.stored_name("decoder.layers.7.pre_mlp_layernorm.weight")
    assert norm == ("decoder.layers.mlp.linear_fc1.layer_norm_weight", 7)
    assert torch_dist.stored_name("decoder.final_layernorm.bias") == ("decoder.final_layernorm.bias", None)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    made = tiny.model()
    torch_dist.write(tmp_path, to_megatron(named_weights(made), made.config))
    with pytest.raises(GroundupError, match="has 2 layers, the model 3"):
        torch_dist.read_weights(tmp_path, tiny.shape(num_hidden_layers=3))
    with pytest.raises(GroundupError, match="has no tensor output_layer"):
        torch_dist.read_weights(tmp_path, tiny.shape(tie_word_embeddings=False))


class Harm:
    def __reduce__(self) -> object:
        return os.mkdir, ("harm",)


def test_an_index_with_anything_else_in_it_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".metadata").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(GroundupError, match=r"its index names posix\.mkdir"):
        torch_dist.read_weights(tmp_path, tiny.shape())
    assert not (tmp_path / "harm").exists()
    (tmp_path / ".metadata").write_bytes(pickle.dumps({"state_dict_metadata": {}}))
    with pytest.raises(GroundupError, match="its index is none"):
        torch_dist.read_weights(tmp_path, tiny.shape())


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({}))
    with pytest.raises(GroundupError, match="is no checkpoint of Megatron's"):
        torch_dist.read_weights(tmp_path, tiny.shape())
