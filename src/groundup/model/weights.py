"""A model as files: `config.json` and `model.safetensors`. No pickle is ever read."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel

CONFIG, WEIGHTS = "config.json", "model.safetensors"


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
    again = "the folder is not a whole model; run the stage that made it again"
    try:
        config = LLMConfig.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise GroundupError(f"can't load the model ({error})", where=str(folder), do=again) from error
    model = CustomLanguageModel(config, seed=None)
    load_weights(model, weights, folder / WEIGHTS)
    return model.to(device)


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
