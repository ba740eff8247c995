"""How often each source will be read: as training counts it afterwards, and warned about where it is too often."""

from pathlib import Path

import numpy as np
import pytest

import tiny
from groundup.blueprint.load import load
from groundup.planning.advice import advice
from groundup.planning.estimate import plan
from groundup.planning.machine import Machine
from groundup.planning.reading import reading
from groundup.shards.token_file import TokenWriter
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.data import objective_of, source_epochs, steps_of

SOURCES = {"wiki": 8000, "handbook": 1600}
MACHINE = Machine(cores=2, core_flops=88e9, bf16=True, memory=24 * 10**9, disk=80 * 10**9)


@pytest.mark.parametrize(
    "given",
    [
        {"tokens": 48_000},
        {"tokens": 48_000, "mixture": {"wiki": 1, "handbook": 2}},
        {"tokens": 9_000, "mixture": {"handbook": 0.1}},
        {"epochs": 3},
        {"epochs": {"handbook": 7}},
        {"epochs": {"handbook": 7, "wiki": 0.5}},
    ],
)
def test_the_plan_is_what_training_does(tmp_path: Path, given: dict) -> None:
    for split in ("train", "heldout"):
        with TokenWriter(tmp_path, split, tiny.tokenizer()) as writer:
            for name, tokens in SOURCES.items():
                writer.begin(name)
                writer.append(name, np.zeros(tokens - 1, dtype=np.int64))
    config = PretrainConfig(batch_tokens=64, sequence=16, model=ModelShape(context=16), **given)
    objective = objective_of(config, tmp_path, tiny.tokenizer(), seed=1)
    steps = steps_of(config, objective)
    done = source_epochs(objective, steps)
    planned = reading(config, sum(SOURCES.values()), SOURCES)
    assert planned.tokens == pytest.approx(steps * 64, rel=0.02)
    expected = {name: planned.epochs.get(name, planned.epochs.get("", 0.0)) for name in SOURCES}
    assert done == pytest.approx(expected, rel=0.02)


def test_before_sources_are_counted() -> None:
    assert reading(PretrainConfig(epochs={"a": 2.0, "b": 4.0}), 1000, {}).tokens == 3000
    assert reading(PretrainConfig(epochs={"a": 2.0, "b": 4.0}), 1000, {}).assumed
    assert reading(PretrainConfig(tokens=500, mixture={"a": 1.0}), 1000, {}).epochs == {"": 0.5}


def test_a_source_read_too_often_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(Path(__file__).with_name("measured.yaml").read_text(encoding="utf-8"))
    sources = {"handbook": {"tokens": 1_000_000}, "wiki": {"tokens": 50_000_000}}
    figures = {"tokens": {"train": {"tokens": 51_000_000, "sources": sources}, "vocabulary": 4096}}
    overrides = ("pretrain.tokens=40_000_000", "pretrain.mixture={handbook: 1, wiki: 3}")
    said = advice(plan(load(path, overrides).blueprint, MACHINE, figures))
    (line,) = [one for one in said if "2305.16264" in one]
    assert line.startswith("pretrain reads the source handbook (1.0 M tokens) 10 times; beyond 4 times")
    assert line.endswith("lower its weight in pretrain.mixture, or add documents")
    said = advice(plan(load(path, ("pretrain.tokens=null", "pretrain.epochs=9")).blueprint, MACHINE, figures))
    (line,) = [one for one in said if "2305.16264" in one]
    assert line.startswith("pretrain reads the corpus (51.0 M tokens) 9 times")
    assert line.endswith("lower pretrain.epochs, or add documents")
