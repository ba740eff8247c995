"""What this machine reaches in matmuls: the reference that a model's speed is compared with.

Peaks from data sheets are not reached by any program, and for most machines there is none. So the ceiling is measured,
by this process, with its threads and its part of the machine, in the precision of the matmuls that it will train with
and by the same library calls as the model's.
"""

import time
from functools import cache

import torch

from groundup.model.linear import matmul

SIDES = {"cpu": (512, 1024, 2048, 4096), "cuda": (4096, 8192), "mps": (1024, 2048, 4096)}
SECONDS = 0.25  # to measure for; one more matmul may be under way
MIN_TIMED = 3  # matmuls of a size, unless a single one takes longer than all may


def matmul_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest large square matmul in `dtype`; measured once per process, device and dtype."""
    return _measured(str(device), dtype, torch.get_num_threads())


@cache
def _measured(device: str, dtype: torch.dtype, _threads: int) -> float:
    return measure(torch.device(device), dtype)


@torch.no_grad()
def measure(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS) -> float:
    """The best rate of single matmuls, of sizes that grow as long as there is time; FLOP/s.

    The first one of each size is not counted: it generates code and allocates memory.
    """
    best, until = 0.0, time.perf_counter() + seconds
    for side in SIDES.get(device.type, SIDES["cpu"]):
        work = 2.0 * side**3
        if best and time.perf_counter() + (MIN_TIMED + 1) * work / best > until:
            break
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        matmul(a, b)
        half = time.perf_counter() + max(0.0, until - time.perf_counter()) / 2  # the rest is for larger ones
        counted = 0
        while counted < MIN_TIMED or time.perf_counter() < half:
            best = max(best, work / _seconds_of(a, b))
            counted += 1
            if time.perf_counter() > until:
                break
    return best


def _seconds_of(a: torch.Tensor, b: torch.Tensor) -> float:
    _wait(a.device)
    started = time.perf_counter()
    matmul(a, b)
    _wait(a.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
