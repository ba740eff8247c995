"""Devices that a run may be planned for without having them: peaks, memory, and the fraction of the peak reached."""

from dataclasses import dataclass

from groundup.errors import GroundupError
from groundup.planning.machine import Machine


@dataclass(frozen=True)
class Device:
    """One accelerator, or a processor."""

    name: str
    flops: float
    """Dense bf16 FLOP/s, at the peak."""
    memory: int
    """Bytes."""
    mfu: float
    """The fraction of the peak that training large models typically reaches, without pipeline bubbles."""
    source: str
    """Of `mfu`."""


MEGATRON = "Megatron-LM on H100: 41 to 48 %; torchtitan 33 to 39 % without fp8"
ASSUMED = "assumed, from the H100's"

# Peaks are the vendors' for dense bf16 with float32 sums. Edit here.
DEVICES = {
    device.name: device
    for device in (
        Device("h100", 989e12, 80 * 10**9, 0.40, MEGATRON),
        Device("h200", 989e12, 141 * 10**9, 0.40, "the H100's: the same arithmetic"),
        Device("b200", 2250e12, 180 * 10**9, 0.35, ASSUMED),
        Device("a100", 312e12, 80 * 10**9, 0.45, "Megatron-LM, arXiv 2104.04473: 44 to 52 %"),
        Device("l40s", 362e12, 48 * 10**9, 0.35, ASSUMED),
        Device("rtx4090", 165e12, 24 * 10**9, 0.40, ASSUMED),
        Device("m3-max", 14.2e12, 128 * 10**9, 0.30, "assumed; 40 GPU cores, memory shared with the processor"),
    )
}


def device_of(name: str, machine: Machine) -> Device:
    """By name; `cpu` is this machine's processor with its measured rate. Raises GroundupError for an unknown one."""
    if name.lower() == "cpu":
        rate = machine.rate("train", machine.precision("auto"))
        return Device("cpu", rate, machine.memory or 0, 1.0, "measured on this machine")
    if name.lower() not in DEVICES:
        raise GroundupError(f"{name} is no known device", do=f"name one of {', '.join(DEVICES)}, cpu")
    return DEVICES[name.lower()]
