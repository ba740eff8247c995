"""A model as files: `config.json` and `model.safetensors`. No pickle is ever read."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from groundup.artifacts.durable import read_json, write_text
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"
AGAIN = "name another folder, or make this one again with the stage or the program that wrote it"


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every trained tensor once, by name; a tied head is left out, as Hugging Face does."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def save_model(folder: Path, model: CustomLanguageModel) -> None:
    """Write `config.json` and `model.safetensors` into a new or existing folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(model.config.model_dump(exclude={"notes"}), indent=1) + "\n")
    weights = {name: tensor.cpu().contiguous() for name, tensor in named_weights(model).items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def load_model(folder: Path, device: torch.device | str = "cpu") -> CustomLanguageModel:
    """Read what `save_model` wrote.

    Raises:
        GroundupError: a file is missing or damaged, or the tensors don't fit the configuration.
    """
    model = CustomLanguageModel(config_of(read_json(folder / CONFIG), folder / CONFIG), seed=None)
    load_weights(model, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return model.to(device)


def config_of(values: Any, where: Path) -> LLMConfig:
    """The shape that the content of a `config.json` describes; raises GroundupError where it describes none."""
    try:
        return LLMConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise GroundupError(f"is no model's shape ({what})", where=str(where), do=AGAIN) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; raises GroundupError where it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do=AGAIN) from error


def load_weights(model: nn.Module, weights: dict[str, torch.Tensor], where: Path) -> None:
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
