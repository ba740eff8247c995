"""The `lora:` section of a training stage."""

from typing import Literal

from pydantic import Field

from groundup.section import Section

Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class LoraConfig(Section):
    """Low-rank adaptation (arXiv 2106.09685): the model's matrices are frozen, and each of the targets W gets a trained
    low-rank addition, W x + alpha / rank * B A x. What is trained, and kept by the optimizer and in checkpoints, is a
    small part of the model. For the engines torch and deepspeed, without tp and pp."""

    rank: int = Field(default=16, ge=1)
    """Rows of A and columns of B."""
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability with which an input of A is set to zero in training; the model's own dropout is off then."""
    targets: tuple[Target, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )
    """Which matrices of each layer; those that the architecture doesn't have are ignored, experts are not adapted."""
