"""A model as files: `config.json` and safetensors, in one file or in several with an index. No pickle is ever read."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.configuration import config_of
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import adapters_of

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000  # above this a model is written in several files, as Hugging Face does
AGAIN = "name another folder, or make this one again with the stage or the program that wrote it"


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor once, by name; adapters are merged into their matrices, and a tied head appears as the embedding
    alone, as in Hugging Face's files."""
    adapters, weights = adapters_of(model), dict[str, Tensor]()
    for name, parameter in model.named_parameters():
        module, _, kind = name.rpartition(".")
        if module not in adapters or kind == "bias":
            weights[name] = parameter.detach()
        elif kind == "weight":
            weights[name] = adapters[module].merged()
    return weights


def save_model(folder: Path, model: CustomLanguageModel) -> None:
    """Write `config.json`, our own, and the weights into a new or existing folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(model.config.model_dump(exclude={"notes"}), indent=1) + "\n")
    write_tensors(folder, named_weights(model))


def load_model(folder: Path, device: torch.device | str = "cpu") -> CustomLanguageModel:
    """Read what `save_model` wrote.

    Raises:
        GroundupError: a file is missing or damaged, or the tensors don't fit the configuration.
    """
    model = CustomLanguageModel(config_of(read_json(folder / CONFIG), folder / CONFIG), seed=None)
    load_weights(model, read_folder(folder), folder)
    return model.to(device)


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], shard_bytes: int = SHARD_BYTES) -> None:
    """Write `model.safetensors`, or numbered files of at most `shard_bytes` and their index.

    A tensor that is larger gets a file of its own. What an earlier call left in the folder under such names is removed.
    """
    shards: list[dict[str, Tensor]] = [{}]
    free = shard_bytes
    for name, tensor in tensors.items():
        if tensor.nbytes > free and shards[-1]:
            shards.append({})
            free = shard_bytes
        shards[-1][name] = tensor.cpu().contiguous()
        free -= tensor.nbytes
    for old in (*folder.glob("model-*-of-*.safetensors"), folder / INDEX, folder / WEIGHTS):
        old.unlink(missing_ok=True)
    if len(shards) == 1:
        save_file(shards[0], folder / WEIGHTS, metadata={"format": "pt"})
        return
    files = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for file, shard in zip(files, shards, strict=True):
        save_file(shard, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())}, "weight_map": weight_map}
    write_text(folder / INDEX, json.dumps(index, indent=1, sort_keys=True) + "\n")


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model's folder, in one file or in several.

    Raises:
        GroundupError: a file is missing or damaged, or the index names a file outside the folder.
    """
    index = folder / INDEX
    if (folder / WEIGHTS).exists() or not index.exists():
        return read_tensors(folder / WEIGHTS)
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    files = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
    if not isinstance(weight_map, dict) or any(Path(file).name != file for file in files):
        raise GroundupError("is no index of the weights' files in this folder", where=str(index), do=AGAIN)
    tensors = {name: tensor for file in files for name, tensor in read_tensors(folder / file).items()}
    for name in sorted(weight_map.keys() ^ tensors.keys()):
        raise GroundupError(f"tensor {name} is not in both the index and the files", where=str(index), do=AGAIN)
    return tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises GroundupError where it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do=AGAIN) from error


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Copy `weights` into the model's parameters of the same names; raises GroundupError unless both agree."""
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() ^ weights.keys()):
        state = "missing from" if name in parameters else "unknown to the model in"
        raise GroundupError(f"tensor {name} is {state} the file", where=str(where), do="check which model it is of")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != weights[name].shape:
                shapes = f"{list(weights[name].shape)}, the model needs {list(parameter.shape)}"
                raise GroundupError(f"tensor {name} is {shapes}", where=str(where), do="check which model it is of")
            parameter.copy_(weights[name])
