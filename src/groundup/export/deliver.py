"""`groundup export`: an exported model, or any Hugging Face folder, as a folder for other programs.

hf      a copy of the Hugging Face folder, with a model card
gguf    one GGUF file, an Ollama Modelfile and a model card
peft    the adapters of a stage that trained some, in PEFT's files, and the Hugging Face folder that they belong to
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from groundup.artifacts import Figures
from groundup.artifacts.durable import disk_error, write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.export.card import model_card
from groundup.export.folder import tokenizer_config
from groundup.export.gguf import GgufType, check, modelfile, write_gguf
from groundup.inference.loading import LoadedModel, load_folder
from groundup.model.adapter_files import ADAPTER_CONFIG
from groundup.model.huggingface import save_huggingface
from groundup.model.huggingface_config import huggingface_config
from groundup.model.weights import load_model
from groundup.tokenizer.chat import TEMPLATE
from groundup.tokenizer.tokenizer import Tokenizer

OWN_FILES = ("manifest.json", "records")  # of an artifact, and nothing to other programs
GGUF_TEMPLATE = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")  # a tag of transformers'


def export_huggingface(model: Path, to: Path, figures: Mapping[str, Figures]) -> None:
    """Copy an exported folder to the new folder `to`, with a model card where the run's figures are known."""
    _must_be_new(to)
    config = load_folder(model).model.config
    huggingface_config(config, "float32")  # raises where transformers has no such model
    try:
        shutil.copytree(model, to, ignore=shutil.ignore_patterns(*OWN_FILES))
    except OSError as error:
        raise disk_error(error, to) from error
    if figures:
        files = sorted(path.name for path in to.glob("*.safetensors"))
        write_text(to / "README.md", model_card(to.resolve().name, config, figures, files))


def export_gguf(model: Path, to: Path, kind: GgufType, figures: Mapping[str, Figures]) -> Path:
    """Write the folder's model as GGUF into the new folder `to`; returns the file.

    Raises:
        GroundupError: GGUF can't hold the model (the reason is named), `to` exists, or the disk is full.
    """
    _must_be_new(to)
    loaded = load_folder(model)
    check(loaded.model.config, kind)
    file = to / f"{_file_name(loaded.name)}-{kind}.gguf"
    try:
        to.mkdir(parents=True)
        write_gguf(file, loaded.model, loaded.tokenizer, kind, name=loaded.name, template=_template(loaded))
        if _own_format(loaded):
            write_text(to / "Modelfile", modelfile(file.name, loaded.context))
        if figures:
            write_text(to / "README.md", model_card(loaded.name, loaded.model.config, figures, [file.name]))
    except OSError as error:
        raise disk_error(error, to) from error
    return file


def export_adapter(adapter: Path, base: Path, tokenizer_file: Path, to: Path) -> None:
    """Write a stage's adapters to `to/adapter`, and the model that they were trained on to `to/base`.

    Args:
        adapter: the folder with PEFT's files.
        base: the model's weights, as stages keep them.
        tokenizer_file: the run's tokenizer.

    Raises:
        GroundupError: transformers has no such model, `to` exists, or the disk is full.
    """
    _must_be_new(to)
    model, tokenizer = load_model(base), Tokenizer.load(tokenizer_file)
    huggingface_config(model.config, "float32")  # raises where transformers has no such model
    ids = tokenizer.special_ids
    end_of_text = tokenizer.end_of_text
    try:
        (to / "base").mkdir(parents=True)
        ends = {"end": ids.get("<|end|>", end_of_text), "pad": ids.get("<|pad|>", end_of_text)}
        save_huggingface(to / "base", model, "float32", end_of_text=end_of_text, **ends)
        shutil.copy(tokenizer_file, to / "base" / "tokenizer.json")
        write_text(
            to / "base" / "tokenizer_config.json", json.dumps(tokenizer_config(model.config.max_position_embeddings))
        )
        write_text(to / "base" / "chat_template.jinja", TEMPLATE)
        shutil.copytree(adapter, to / "adapter")
        config = {**read_json(to / "adapter" / ADAPTER_CONFIG), "base_model_name_or_path": "base"}
        write_text(to / "adapter" / ADAPTER_CONFIG, json.dumps(config, indent=1) + "\n")
    except OSError as error:
        raise disk_error(error, to) from error


def _must_be_new(to: Path) -> None:
    if to.exists():
        raise GroundupError("exists already", where=str(to), do="name a new folder with --to")


def _own_format(loaded: LoadedModel) -> bool:
    return loaded.template is None and "<|assistant|>" in loaded.tokenizer.special_ids


def _template(loaded: LoadedModel) -> str | None:
    if loaded.template is not None:
        return loaded.template.source
    return GGUF_TEMPLATE if _own_format(loaded) else None


def _file_name(name: str) -> str:
    """A model's name as a file's: letters, digits, `.`, `-` and `_`."""
    kept = "".join(character if character.isalnum() or character in ".-_" else "-" for character in name)
    return kept.strip(".-") or "model"
