"""Every blueprint of the gallery is planned, and those for many GPUs fit the ones that they name, dry run included."""

import pytest

from groundup.blueprint import gallery
from groundup.blueprint.layouts import layouts
from groundup.blueprint.load import load
from groundup.planning.advice import table
from groundup.planning.calibration import whole_batch
from groundup.planning.devices import DEVICES
from groundup.planning.dry_run import dry_run
from groundup.planning.estimate import plan
from groundup.planning.forecast import Plan
from groundup.planning.machine import Machine
from groundup.planning.on_device import ROOM, on_device
from groundup.planning.ranks import rank_memory

MACHINE = Machine(cores=2, core_flops=88e9, bf16=True, memory=24 * 10**9, disk=80 * 10**9)
SIZES = {  # parameters that each promises, in millions
    "tinyshakespeare": 10.7, "gpt2-124m": 124, "llama-1b": 1040, "llama3-8b": 8030, "tinystories": 15,
    "deepspeed-zero3": 1200, "megatron": 7000, "ray-curation": 400, "fineweb-edu": 124,
}  # fmt: skip
GPUS = {"gpt2-124m": 8, "llama-1b": 8, "llama3-8b": 64, "deepspeed-zero3": 8, "megatron": 16}


def planned(name: str, *overrides: str) -> tuple[object, Plan]:
    loaded = load(gallery.FOLDER / f"{name}.yaml", overrides)
    return loaded.blueprint, plan(loaded.blueprint, MACHINE)


@pytest.mark.parametrize("name", gallery.names())
def test_each_is_planned(name: str) -> None:
    _, found = planned(name)
    assert len(table(found)) > 5 and all(stage.memory_bytes > 0 for stage in found.stages)
    if name in SIZES:
        assert found.model.num_parameters / 1e6 == pytest.approx(SIZES[name], rel=0.07)


@pytest.mark.parametrize("name", GPUS)
def test_those_for_gpus_fit_an_h100(name: str) -> None:
    blueprint, found = planned(name)
    layout = layouts(blueprint)["pretrain"]
    assert layout.processes == GPUS[name]
    config = blueprint.pretrain
    batch = whole_batch(found.model, config, layout)
    held = rank_memory(found.model, layout, batch, config.activation_checkpointing)
    assert sum(held.values()) < ROOM * DEVICES["h100"].memory
    assert len(on_device(found, config, layout, DEVICES["h100"], price=2.5)) >= 5


@pytest.mark.parametrize("name", ["tinyshakespeare", "gpt2-124m", "llama-1b", "llama3-8b"])
def test_those_of_the_engine_torch_are_built_without_data(name: str) -> None:
    """Two layers of each, and few tokens: shapes and layouts are what can go wrong."""
    tokens = {"gpt2-124m": 32_768, "llama-1b": 65_536, "llama3-8b": 131_072}
    few = ["pretrain.model.layers=2", *([f"pretrain.batch_tokens={tokens[name]}"] if name in tokens else [])]
    few += ["pretrain.accumulate=2", "pretrain.sequence=1024"] if name.startswith("llama") else []
    blueprint, found = planned(name, *few)
    layout = layouts(blueprint)["pretrain"]
    held = dry_run(found.model, blueprint.pretrain, layout, "bf16")
    if layout.processes > 1 and layout.dp_replicate == 1:
        assert held.parameters < 1.1 * found.model.num_parameters / layout.processes * layout.pp
    else:
        assert held.parameters == found.model.num_parameters
    assert held.memory["weights"] == 4 * held.parameters
