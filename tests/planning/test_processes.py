"""What each process holds, counted by hand for every engine."""

from pathlib import Path

import pytest

from groundup.blueprint.layouts import layouts
from groundup.blueprint.load import load
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.estimate import plan
from groundup.planning.forecast import StagePlan
from groundup.planning.machine import Machine
from groundup.planning.processes import crowded, held_bytes, processes

STAGE = StagePlan("pretrain", 1.0, memory={"program": 9, "weights": 240, "gradients": 240, "optimizer state": 480})
MACHINE = Machine(cores=4, core_flops=88e9, bf16=True, memory=24 * 10**9, disk=80 * 10**9)


@pytest.mark.parametrize(
    ("parallel", "held"),
    [
        ({"dp_replicate": 8}, (240, 240, 480)),
        ({"dp_shard": 4}, (60, 60, 120)),
        ({"dp_replicate": 2, "dp_shard": 3, "cp": 2, "tp": 2}, (20, 20, 40)),  # shards lie over dp_shard x cp
        ({"tp": 2, "pp": 3}, (40, 40, 80)),
        ({"engine": "deepspeed", "dp_shard": 4, "zero_stage": 1}, (240, 240, 120)),
        ({"engine": "deepspeed", "dp_shard": 4, "zero_stage": 2}, (240, 60, 120)),
        ({"engine": "deepspeed", "dp_shard": 4, "zero_stage": 3}, (60, 60, 120)),
        ({"engine": "megatron", "dp_shard": 4, "tp": 2, "cp": 2}, (120, 120, 60)),
    ],
)
def test_what_a_process_holds(parallel: dict, held: tuple[int, int, int]) -> None:
    assert tuple(held_bytes(STAGE, ParallelConfig(**parallel)).values()) == held


def test_a_plan_names_the_layouts_and_their_stages(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(Path(__file__).with_name("measured.yaml").read_text(encoding="utf-8"))
    plain = ["pretrain.optimizer.name=adamw", "pretrain.model.architecture=llama"]
    loaded = load(path, [*plain, "parallel.dp_shard=8", "sft.parallel={tp: 2}"])
    found = plan(loaded.blueprint, MACHINE)
    most, sft = processes(found, layouts(loaded.blueprint))
    assert most.startswith("pretrain, reward, ppo: 8 processes, {dp_shard: 8}; each holds about 14 MB of the 112 MB of")
    assert most.endswith("and reads 1/8 of each batch")
    assert sft.startswith("sft: 2 processes, {tp: 2}; each holds about 32 MB of the 64 MB") and "reads" not in sft
    assert "8 processes and this machine has 4 cores" in crowded(found, layouts(loaded.blueprint))[0]


def test_one_process_needs_no_words(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(Path(__file__).with_name("measured.yaml").read_text(encoding="utf-8"))
    loaded = load(path)
    found = plan(loaded.blueprint, MACHINE)
    assert processes(found, layouts(loaded.blueprint)) == crowded(found, layouts(loaded.blueprint)) == []
