"""What every side of the benchmark `train` does: shapes, batches and the optimizer's settings."""

from dataclasses import dataclass

import torch
from torch import Tensor

LEARNING_RATE, CLIP, BETAS, DECAY = 1e-3, 1.0, (0.9, 0.95), 0.1
WARM_UP = 3  # steps that are not counted


@dataclass(frozen=True)
class Size:
    """A shape, and a batch that takes about a second."""

    name: str
    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    rows: int
    steps: int


SIZES = (
    Size("0.8M", 4, 128, 4, 65, 64, 12, 60),
    Size("10M", 6, 384, 6, 65, 256, 8, 12),
    Size("30M", 6, 512, 8, 16_384, 512, 4, 8),
    Size("124M", 12, 768, 12, 50_257, 512, 2, 5),
)


CHECK_SIZE = Size("check", 2, 32, 2, 65, 32, 2, 2)


@dataclass(frozen=True)
class TrainJob:
    """One size in one family's shape and one precision."""

    size: Size
    family: str  # llama | gpt2
    precision: str  # fp32 | bf16: matmuls under autocast, weights in float32
    recompute: str = "none"  # activation checkpointing
    compiled: bool = False  # by torch.compile: our layers, a peer's whole model
    rank: int = 0  # of adapters of every matrix in the layers, trained instead of the model; 0: none

    @classmethod
    def of(cls, values: dict) -> "TrainJob":
        """From `dataclasses.asdict`, as it comes through JSON."""
        return cls(**values | {"size": Size(**values["size"])})

    @property
    def case(self) -> str:
        """The name of the benchmark's row."""
        options = (", compiled" if self.compiled else "") + (f", LoRA of rank {self.rank}" if self.rank else "")
        return f"{self.size.name} {self.family} {self.precision}{options}"

    @property
    def feed_forward(self) -> int:
        """4 times the width; in Llama 8/3 of it, in multiples of 64."""
        return 4 * self.size.width if self.family == "gpt2" else -(-8 * self.size.width // (3 * 64)) * 64

    @property
    def tokens(self) -> int:
        """Per step."""
        return self.size.rows * self.size.context


def batch_of(size: Size, step: int) -> tuple[Tensor, Tensor]:
    """(inputs, targets) of a step, int64 [rows, context]; random, and the same on every side."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(size.vocabulary, (size.rows, size.context + 1), generator=generator)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
