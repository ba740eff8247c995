"""What pretraining is where nobody says otherwise: the portable recipe, whose model any other program can load.

Muon for the matrices, a start at unit scale, Qwen3's normalised queries and keys, and a rate that is full for a third
of the steps and falls in the rest. `make bench NAME=recipe SIDES=parts` measures what each part brings, and
docs/experiments.md has the figures.
"""

from typing import Any, Protocol

from groundup.parallel.configuration import ParallelConfig
from groundup.planning.size import Derived
from groundup.section import Section
from groundup.training.configuration import PretrainConfig

SOURCE = "docs/experiments.md"

# Muon's rate holds for every width, since its step is as large as the matrix asks for. Twice and half of it are worse.
SCHEDULE: dict[str, Any] = {
    "learning_rate": 5e-3,
    "warmup": 0.05,
    "schedule": "wsd",
    "decay": 0.65,
    "final_learning_rate": 0.05,
}
OPTIMIZER: dict[str, Any] = {
    "name": "muon",
    "iterations": 3,
    "weight_decay": 0.0,
    "momentum_warmup": 200,
}
# For an embedding that is normalised and has no head to serve: one that the head shares loses by it.
UNIT_START_OPTIMIZER: dict[str, Any] = {"embedding_scale": 30.0, "betas": (0.8, 0.95), "eps": 1e-10}


class RecipeSections(Protocol):
    """The part of a blueprint that the recipe reads."""

    @property
    def start(self) -> Section | None: ...
    @property
    def parallel(self) -> ParallelConfig: ...
    @property
    def pretrain(self) -> PretrainConfig: ...


def recipe(blueprint: RecipeSections) -> dict[str, Derived]:
    """The recipe's values that the blueprint leaves open, by their dotted paths.

    Who names another optimizer, or trains by an engine that has no Muon, gets AdamW's rate and a cosine where they set
    none. A model that is there already (`start:`) keeps its shape and is trained on by AdamW.
    """
    if blueprint.start is not None:
        return {}
    pretrain, found = blueprint.pretrain, dict[str, Any]()
    shape, optimizer = pretrain.model, pretrain.optimizer
    if "architecture" not in shape.model_fields_set:
        found["model.architecture"] = "qwen3"
    engine = (pretrain.parallel or blueprint.parallel).engine
    named = "name" in optimizer.model_fields_set
    muon = optimizer.name == "muon" if named else engine == "torch"
    if muon:
        unit = shape.starts_at_unit
        if shape.architecture != "gpt2" and not {"unit_start", "tied"} & shape.model_fields_set:
            unit = found["model.unit_start"] = True
        found |= {name: value for name, value in SCHEDULE.items() if name not in pretrain.model_fields_set}
        rules = OPTIMIZER | (UNIT_START_OPTIMIZER if unit else {})
        open_ones = rules.keys() - optimizer.model_fields_set
        found |= {f"optimizer.{name}": value for name, value in rules.items() if name in open_ones}
    return {f"pretrain.{path}": Derived(value, "the portable recipe", SOURCE) for path, value in found.items()}
