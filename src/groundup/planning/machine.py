"""What this machine can do, measured in a third of a second and without torch.

The probe multiplies small float32 matrices on one core, which is the same whether or not other programs keep the
rest busy, and counts it once per core. How much of that rate each kind of work reaches is in one table, calibrated
on real runs.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from groundup.machine import available_memory, multiplies_bf16, other_than_intel, usable_cores

MatmulPrecision = Literal["fp32", "bf16", "fp16"]  # parallel/device.py's, without torch

PROBE_SIDE = 64  # small enough that numpy's BLAS stays on one core
PROBE_SECONDS = 0.15

# Fraction of the probe's rate that each kind of work reaches, by precision. Edit here.
# Known: 4 M parameters, batches of 1,024 tokens, 2 cores with avx512_bf16 (probe 88 GFLOP/s a core): 12,000 tokens/s
# in training, which is 12,000 x 25.6 MFLOP = 307 GFLOP/s. bf16 goes above 1 because its instruction does twice the
# work of the probe's float32 one.
EFFICIENCY: dict[tuple[str, str], float] = {
    ("train", "bf16"): 1.75,
    ("train", "fp32"): 0.73,
    ("muon", "bf16"): 1.75,
    ("muon", "fp32"): 0.73,
    ("rows", "bf16"): 1.75,  # training on rows of a few dozen tokens
    ("rows", "fp32"): 0.55,
    ("forward", "bf16"): 1.60,  # a third of the work of training, without the optimizer, over padded rows
    ("forward", "fp32"): 0.90,
    ("generate", "bf16"): 0.30,  # one token of each row at a time: bound by memory and by calls
    ("generate", "fp32"): 0.15,
    ("train", "fp16"): 0.02,  # PyTorch's matmuls in float16 where the processor has none: 1/40 to 1/200 of fp32's rate
    ("forward", "fp16"): 0.02,
    ("generate", "fp16"): 0.02,
    ("muon", "fp16"): 0.73,  # its iterations are in float32 there
    ("rows", "fp16"): 0.02,
}
STEP_SECONDS = 0.003  # an optimizer step of any size: Python, clipping, metrics

# Bytes of text a second and core of the stages that train nothing, and what every process costs. Edit here.
TOKENIZER_BYTES, ENCODE_BYTES = 20e6, 15e6
SCORE_BYTES = 0.75e6  # xz and n-grams, one core
CURATE_BYTES = {"docs": 0.7e6, "text": 8e6, "pages": 1.5e6}  # of documentation on one core, of text, of HTML
START_SECONDS = {  # until a stage's process does its own work, by what it imports
    "data": 1.05,  # no torch
    "model": 2.0,  # torch
    "training": 2.9,  # optimizers too, whose first step imports more
}
REPORT_SECONDS = 1.8
FACTS_BYTES = 5e6  # of documents, whose facts are read and chosen from before SFT
COMPILE_SECONDS = {"curate": 10.0, "tokenizer": 5.5, "tokens": 0.0}  # of kernels, when they are used for the first time


@dataclass(frozen=True)
class Machine:
    """What matters of a machine for planning."""

    cores: int
    core_flops: float
    """float32 operations a second of one core in matrix matmuls."""
    bf16: bool
    """Whether the processor multiplies bf16."""
    memory: int | None
    """Bytes that a new process can have; None where unknown."""
    disk: int | None
    """Bytes free where the run will lie; None where unknown."""
    accelerator: str | None = None
    """A GPU that seems to be there. Times are still the processor's."""
    compiles_fp32: bool = False
    """Whether float32 matmuls are oneDNN's too, which makes code for each shape (model/linear.py)."""
    compiled: bool = True
    """Whether the kernels of curation and tokenizer have been compiled before."""
    start_factor: float = 1.0
    """How much longer processes take to start than `START_SECONDS` says."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """FLOP/s of all cores by kind of work, where steps of a blueprint were taken (`planning.calibration`)."""

    def precision(self, wanted: Literal["auto"] | MatmulPrecision) -> MatmulPrecision:
        """`fp32`, `bf16` or `fp16`; `auto` as it will be decided."""
        return wanted if wanted != "auto" else "bf16" if self.bf16 else "fp32"

    def rate(self, work: str, precision: str) -> float:
        """FLOP/s of all cores in `train`, `muon`, `rows`, `forward` or `generate`; measured, else by the table."""
        if work in self.measured:
            return self.measured[work]
        slow = "fp16" if self.slow_in(precision) else precision
        return self.cores * self.core_flops * EFFICIENCY[work, slow]

    def start_seconds(self, kind: str) -> float:
        """Until a process of this kind (`START_SECONDS`) does its own work."""
        return self.start_factor * START_SECONDS[kind]

    def compiles(self, precision: str) -> bool:
        """Whether code is made, and kept, for each shape of a matmul."""
        return precision == "bf16" or (precision == "fp32" and self.compiles_fp32)

    def slow_in(self, precision: str) -> bool:
        """Whether the processor has no instruction that multiplies in this precision."""
        return precision == "fp16" or (precision == "bf16" and not self.bf16)


def measure(folder: Path | None = None) -> Machine:
    """This machine; `folder` is where the run will lie (or its nearest parent that exists)."""
    return Machine(
        cores=usable_cores(),
        core_flops=probe(),
        bf16=multiplies_bf16(),
        memory=available_memory(),
        disk=_free_disk((folder or Path()).absolute()),
        accelerator=_accelerator(),
        compiles_fp32=other_than_intel(),
        compiled=_kernels_are_kept(),
    )


def probe(seconds: float = PROBE_SECONDS) -> float:
    """float32 FLOP/s of one core: the best of many short series of matmuls, so that a busy machine does not matter."""
    import numpy as np

    a = np.linspace(-1, 1, PROBE_SIDE * PROBE_SIDE, dtype=np.float32).reshape(PROBE_SIDE, PROBE_SIDE)
    b, out, matmuls = a.T.copy(), np.empty_like(a), 16
    best, until = float("inf"), time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        for _ in range(matmuls):
            np.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - started)
        if time.perf_counter() > until:
            return matmuls * 2 * PROBE_SIDE**3 / best


def _kernels_are_kept() -> bool:
    """Whether numba has kept machine code of any kernel next to the package's files, or where else it keeps it."""
    kept = os.environ.get("NUMBA_CACHE_DIR")
    return any(Path(kept or __file__).resolve().parents[0 if kept else 1].rglob("*.nbi"))


def _free_disk(folder: Path) -> int | None:
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    return shutil.disk_usage(there).free if there else None


def _accelerator() -> str | None:
    if Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists():
        return "an NVIDIA GPU"
    return "Apple's GPU" if sys.platform == "darwin" and os.uname().machine == "arm64" else None
