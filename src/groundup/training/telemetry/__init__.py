"""What a training loop writes down of its steps; `recorder.py` is the way in."""

from groundup.training.telemetry.flops import flops_of, run_lengths
from groundup.training.telemetry.recorder import MEASURED, Flops, Telemetry, memory, publish

__all__ = ["MEASURED", "Flops", "Telemetry", "flops_of", "memory", "publish", "run_lengths"]
