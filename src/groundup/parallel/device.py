"""The machine under the engine: which device, how many threads, which precision, how memory is handed out."""

import ctypes
import os
import sys
from typing import Literal

import torch

from groundup.errors import GroundupError
from groundup.machine import multiplies_bf16, threads

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of matmuls and of key-value caches, by precision."""


def best_device() -> torch.device:
    """CUDA, then Apple's GPU, then the CPU; the environment variable GROUNDUP_DEVICE overrules."""
    wanted = os.environ.get("GROUNDUP_DEVICE")
    if wanted:
        try:
            return torch.device(wanted)
        except RuntimeError as error:
            raise GroundupError(f"GROUNDUP_DEVICE names no device: {wanted}", do="use cpu, cuda or mps") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(wanted: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """`auto` is bf16 where the hardware multiplies it: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if multiplies_bf16() else "fp32"
    return "fp32"


def settle() -> None:
    """Prepare this process for training: as many threads as cores it may use, freed memory kept, no denormals.

    glibc asks the kernel for every large tensor and gives it back when it is freed; each page is then zeroed and mapped
    again, which takes longer than what is done with it: two fifths of a step at 124M parameters (docs/experiments.md).
    Keeping what is freed costs next to nothing of the peak.
    """
    torch.set_num_threads(threads())
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            m_trim_threshold, m_mmap_max = -1, -4
            libc.mallopt(m_mmap_max, 0)  # all from the heap
            libc.mallopt(m_trim_threshold, -1)  # which is never cut
