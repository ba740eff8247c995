"""Time, cost and memory on a device that is not here."""

from pathlib import Path

import pytest

from groundup.blueprint.load import load
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.devices import DEVICES, device_of
from groundup.planning.estimate import plan
from groundup.planning.machine import Machine
from groundup.planning.on_device import layout_for, on_device

MACHINE = Machine(cores=2, core_flops=88e9, bf16=True, memory=24 * 10**9, disk=80 * 10**9)
LARGE = ("size=8B", "tokenizer.vocabulary=128256", "pretrain.tokens=150_000_000_000", "pretrain.sequence=2048",
         "pretrain.model.context=2048", "pretrain.batch_tokens=131072", "pretrain.model.tied=false")  # fmt: skip


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(Path(__file__).with_name("measured.yaml").read_text(encoding="utf-8"))
    blueprint = load(path, LARGE).blueprint
    return plan(blueprint, MACHINE), blueprint.pretrain


def test_time_and_cost_on_eight_devices(large):
    """By hand: 150 B tokens x FLOPs per token at 40 % of 8 x 989 TFLOP/s."""
    found, config = large
    lines = on_device(found, config, layout_for(ParallelConfig(), 8), DEVICES["h100"], price=2.5)
    hours = 150e9 * found.model.flops_per_token(2048) / (0.4 * 989e12) / 3600
    assert f"{hours:,.1f} device hours, {2.5 * hours:,.2f} at 2.5 per device and hour" in lines[0]
    assert "FSDP" in lines[2]
    memory = [line for line in lines if line.startswith("memory of a process")]
    assert len(memory) == 3 and "more than" not in memory[2]
    alone = on_device(found, config, ParallelConfig(), DEVICES["rtx4090"])
    assert all("more than 24.0 GB hold" in line for line in alone if line.startswith("memory"))


def test_a_pipeline_waits(large):
    lines = on_device(*large, ParallelConfig(pp=4), DEVICES["a100"])
    assert "the pipeline waits 75% of a step (schedule 1f1b)" in lines


def test_what_does_not_fit_together_is_refused(large):
    with pytest.raises(GroundupError, match="asks for 4 processes, not 8"):
        layout_for(ParallelConfig(tp=4), 8)
    with pytest.raises(GroundupError, match="too few sequences for 1024"):
        on_device(*large, ParallelConfig(dp_shard=1024), DEVICES["h100"])
    with pytest.raises(GroundupError, match="name one of h100, h200"):
        device_of("abacus", MACHINE)


def test_the_processor_is_measured():
    assert device_of("CPU", MACHINE).flops == MACHINE.rate("train", "bf16")
