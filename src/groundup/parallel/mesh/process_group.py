"""Joining and leaving the job: the processes that torchrun, or whoever speaks its language, has started.

Each finds its rank in the environment: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

import gc
import logging
import os
import warnings
from datetime import timedelta

import torch
import torch.distributed as dist

from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import best_device

TIMEOUT = timedelta(minutes=10)  # after which a collective that some process never reached is an error
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def join(parallel: ParallelConfig, timeout: timedelta = TIMEOUT) -> None:
    """Join the job that the environment describes; nothing to do in a layout of one process, or a second time.

    Raises:
        GroundupError: the environment describes no job, or one of another size than the layout's.
    """
    found = size()
    if found is not None and found != parallel.processes:
        raise GroundupError(
            f"the layout is of {parallel.processes} processes, the job has {found}",
            where="parallel",
            do=f"start {parallel.processes} processes, or choose degrees that multiply to {found}",
        )
    if parallel.processes == 1 or dist.is_initialized():
        return
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise GroundupError(
            f"the layout is of {parallel.processes} processes, and this is a single one ({missing[0]} is not set)",
            where="parallel",
            do=f"start it with `torchrun --nproc-per-node {parallel.processes}`, or set every degree to 1",
        )
    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    quiet()
    dist.init_process_group(backend_of(device), timeout=timeout)


def quiet() -> None:
    """Silence DTensor's warnings of exchanges that could be merged, or that gloo splits, and PyTorch's of
    its own old functions, which it, DeepSpeed and Megatron call with every step. All is right, every process says it,
    and nobody who reads it can change it."""
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    for name in ("_redistribute", "_collective_utils"):
        logging.getLogger(f"torch.distributed.tensor.{name}").setLevel(logging.ERROR)


def leave() -> None:
    """Wait for the others and leave the job; nothing to do outside of one.

    What still holds a communicator (cycles of modules and hooks) is collected before: destroyed in another order than
    elsewhere, it aborts some exits.
    """
    if dist.is_initialized():
        dist.barrier()
        gc.collect()
        dist.destroy_process_group()


def size() -> int | None:
    """How many processes the job has; None: there is none."""
    if dist.is_initialized():
        return dist.get_world_size()
    return int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None


def own_device() -> torch.device:
    """This process's own device: of several GPUs the one with its local rank."""
    device = best_device()
    if device.type == "mps":
        raise GroundupError("Apple's GPU can't exchange tensors with another process", do="set GROUNDUP_DEVICE=cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return device


def backend_of(device: torch.device) -> str:
    """Gloo for what lies in the CPU's memory (flags, checkpoints) in any case."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
