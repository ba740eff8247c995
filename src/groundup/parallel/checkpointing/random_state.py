"""The state of PyTorch's random numbers in each process, for what draws from them while it trains (dropout)."""

import torch
from torch import Tensor

from groundup.parallel.checkpointing.files import TensorFiles


def random_state(rank: int) -> dict[str, Tensor]:
    """`random.RANK.cpu`, and `random.RANK.cuda` where this process uses a GPU: uint8."""
    states = {f"random.{rank}.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states[f"random.{rank}.cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_state(files: TensorFiles, rank: int) -> None:
    """Continue with the numbers that this process would have drawn next."""
    torch.set_rng_state(files.tensor(f"random.{rank}.cpu"))
    if torch.cuda.is_available() and f"random.{rank}.cuda" in files:
        torch.cuda.set_rng_state(files.tensor(f"random.{rank}.cuda"))
