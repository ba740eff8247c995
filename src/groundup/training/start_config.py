"""The `start:` section: a model that training begins with, and what its folder says before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig, config_of
from groundup.model.huggingface_config import read_huggingface_config
from groundup.section import Section

MODEL_STAGES = ("pretrain", "sft", "ppo", "grpo", "dpo")
ModelStage = Literal["pretrain", "sft", "ppo", "grpo", "dpo"]


class StartConfig(Section):
    """Begin with a model you have instead of random weights. Its tokenizer is kept, with the chat format's tokens added
    where it lacks them; `pretrain.model` and `size` follow from it."""

    model: Path
    """A Hugging Face folder of a known family, or a stage of a run (`runs/a:pretrain`)."""
    stage: ModelStage | None = None
    """Which stage's model, where `model` is a run's folder."""
    adapter: Path | None = None
    """A folder with adapters (PEFT's files), which are merged into the model."""
    first: Literal["pretrain", "sft", "align"] = "pretrain"
    """The first stage that trains it: `pretrain` continues on the curated documents, `sft` skips that, `align` skips
    fine-tuning too, for a model that can chat."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """As `pretrain.precision`, for the stages after it where pretraining is skipped."""
    general: Path | None = None
    """A text of what the model knows already (UTF-8): bits per byte on it before and after continued pretraining show
    what was forgotten."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_run(cls, values: Any) -> Any:
        """`model: runs/a:pretrain` is the stage `pretrain` of the run `runs/a`."""
        if isinstance(values, dict) and isinstance(values.get("model"), str) and "stage" not in values:
            run, colon, stage = values["model"].rpartition(":")
            if colon and stage in MODEL_STAGES:
                return {**values, "model": run, "stage": stage}
        return values


@dataclass(frozen=True)
class StartFiles:
    """What a `start` section names."""

    weights: Path
    """The folder with `config.json` and safetensors files."""
    tokenizer: Path
    """A `tokenizer.json`, or a folder with GPT-2's two files."""
    ours: bool
    """Whether the weights are a stage's, in the project's own form."""

    @property
    def shape(self) -> LLMConfig:
        """The model's shape.

        Raises:
            GroundupError: the file is missing or damaged, or of a family that is not known.
        """
        path = self.weights / "config.json"
        return config_of(read_json(path), path) if self.ours else read_huggingface_config(read_json(path), path)[1]


def locate(config: StartConfig, base: Path) -> StartFiles:
    """The files of the model.

    Args:
        base: the folder at which relative paths start.

    Raises:
        GroundupError: there are none.
    """
    folder = base / config.model.expanduser()
    if (folder / "run.json").is_file():
        return _of_run(folder, config.stage)
    if not (folder / "config.json").is_file():
        what = "holds no config.json, so it is no model" if folder.is_dir() else "there is no such folder"
        raise GroundupError(what, where=str(folder), do="name a Hugging Face folder, or a stage of a run (RUN:sft)")
    tokenizer = folder / "tokenizer.json"
    return StartFiles(folder, tokenizer if tokenizer.is_file() else folder, ours=False)


def _of_run(run: Path, stage: str | None) -> StartFiles:
    artifacts = read_json(run / "run.json").get("stages", {})
    made = [name for name in MODEL_STAGES if name in artifacts]
    if stage not in made:
        do = f"name one of them: {', '.join(f'{run.name}:{name}' for name in made)}" if made else "run it first"
        raise GroundupError(f"the run has no model of a stage {stage}", where=str(run), do=do)
    folder = run / "artifacts"
    tokenizer = folder / artifacts["tokenizer" if "tokenizer" in artifacts else "start"] / "tokenizer.json"
    return StartFiles(folder / artifacts[stage] / "model", tokenizer, ours=True)
