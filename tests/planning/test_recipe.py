"""The recipe that a blueprint has by default: whole, unless the person chose otherwise."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from groundup.blueprint.load import LoadedBlueprint, load
from groundup.planning.recipe import OPTIMIZER, SCHEDULE, UNIT_START_OPTIMIZER

PORTABLE = {"architecture": "qwen3", "unit_start": True}


def loaded(folder: Path, pretrain: dict[str, Any], **more: Any) -> LoadedBlueprint:
    path = folder / "blueprint.yaml"
    given = {"size": "1M", "curate": {"sources": [{"kind": "python-docs"}]}, "pretrain": pretrain, **more}
    with path.open("w") as file:
        YAML(typ="safe").dump(given, file)
    return load(path)


def chosen(plan: LoadedBlueprint) -> tuple[str, bool, str, str]:
    config = plan.blueprint.pretrain
    return config.model.architecture, config.model.unit_start, config.optimizer.name, config.schedule


def test_size_alone_is_the_whole_recipe(tmp_path: Path) -> None:
    plan = loaded(tmp_path, {"tokens": 100_000})
    config = plan.blueprint.pretrain
    assert {name: getattr(config, name) for name in SCHEDULE} == SCHEDULE
    rules = OPTIMIZER | UNIT_START_OPTIMIZER
    assert {name: getattr(config.optimizer, name) for name in rules} == rules
    assert {name: getattr(config.model, name) for name in PORTABLE} == PORTABLE
    assert "portable recipe" in plan.origin("pretrain.optimizer.name")
    assert plan.blueprint.sft.optimizer.name == "adamw"


@pytest.mark.parametrize(
    ("pretrain", "expected"),
    [
        ({"model": {"architecture": "llama"}}, ("llama", True, "muon", "wsd")),
        ({"model": {"architecture": "gpt2"}}, ("gpt2", False, "muon", "wsd")),
        ({"model": {"tied": True}}, ("qwen3", False, "muon", "wsd")),
        ({"model": {"unit_start": False}}, ("qwen3", False, "muon", "wsd")),
        ({"learning_rate": 2e-3}, ("qwen3", True, "muon", "wsd")),
        ({"schedule": "cosine"}, ("qwen3", True, "muon", "cosine")),
        ({"optimizer": {"name": "muon"}}, ("qwen3", True, "muon", "wsd")),
        ({"optimizer": {"weight_decay": 0.2}}, ("qwen3", True, "muon", "wsd")),
        ({"optimizer": {"name": "adamw"}}, ("qwen3", False, "adamw", "cosine")),
        ({"parallel": {"engine": "deepspeed", "dp_shard": 2}}, ("qwen3", False, "adamw", "cosine")),
    ],
    ids=str,
)
def test_who_chooses_one_part_has_what_goes_with_it(
    pretrain: dict[str, Any], expected: tuple[str, bool, str, str], tmp_path: Path
) -> None:
    assert chosen(loaded(tmp_path, pretrain)) == expected


def test_what_is_set_stays_and_the_rest_is_the_recipe(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"learning_rate": 1e-3, "optimizer": {"weight_decay": 0.2}}).blueprint.pretrain
    assert (config.learning_rate, config.optimizer.weight_decay) == (1e-3, 0.2)
    assert (config.decay, config.optimizer.iterations, config.optimizer.betas) == (0.65, 3, (0.8, 0.95))


@pytest.mark.parametrize("model", [{"architecture": "gpt2"}, {"tied": True}, {"unit_start": False}], ids=str)
def test_an_embedding_that_is_not_normalised_learns_as_fast_as_the_rest(model: dict[str, Any], tmp_path: Path) -> None:
    config = loaded(tmp_path, {"model": model}).blueprint.pretrain
    assert {name: getattr(config.optimizer, name) for name in OPTIMIZER} == OPTIMIZER
    assert (config.optimizer.embedding_scale, config.optimizer.betas) == (1.0, (0.9, 0.95))


def test_an_engine_without_muon_for_all_stages(tmp_path: Path) -> None:
    plan = loaded(tmp_path, {}, parallel={"engine": "deepspeed", "dp_shard": 2})
    assert chosen(plan) == ("qwen3", False, "adamw", "cosine")


def test_every_shape_of_the_recipe_is_a_decoder_that_others_load(tmp_path: Path) -> None:
    """From 300K to 70B; `huggingface_config` has a name for it."""
    from groundup.model.huggingface import portable_config
    from groundup.model.huggingface_config import huggingface_config
    from groundup.planning.size import llm_config

    for size in ("300K", "1M", "10M", "124M", "1B", "70B"):
        plan = loaded(tmp_path, {}, size=size)
        shape = llm_config(plan.blueprint, plan.blueprint.tokenizer.vocabulary)
        assert huggingface_config(portable_config(shape), "float32")["model_type"] == "qwen3"
