"""The `parallel:` section: over how many processes training is spread, and by which engine."""

from math import prod
from typing import Any, Literal

from pydantic import Field

from groundup.section import Section

Degree = Field(default=1, ge=1)


class ParallelConfig(Section):
    """How training is spread over processes. The degrees multiply to the number of processes; all 1: a single one.

    It changes how fast a model is trained and on how many devices, not which model comes out, so it is no part of an
    artifact's key, and a run may resume under another layout.
    """

    engine: Literal["torch", "deepspeed", "megatron"] = "torch"
    """`torch` knows every degree; `deepspeed` (extra `deepspeed`) shards by ZeRO over `dp_shard`; `megatron` (extra
    `megatron`) knows dp_replicate or dp_shard (its distributed optimizer), tp, pp and cp."""
    dp_replicate: int = Degree
    """Copies of the model, each of which reads its part of a batch."""
    dp_shard: int = Degree
    """Processes that hold one copy together, each a shard of weights, gradients and optimizer state (FSDP, ZeRO), and
    each read a part of the batch."""
    cp: int = Degree
    """Processes that each hold a part of every sequence (context parallel)."""
    tp: int = Degree
    """Processes that each compute a part of every matrix (tensor parallel)."""
    pp: int = Degree
    """Processes that each hold some of the layers (pipeline parallel)."""
    ep: int = Degree
    """Over how many of the `dp_shard` processes a mixture's experts are spread; each keeps its experts whole."""
    sequence_parallel: bool = True
    """Under `tp`: norms work on a part of the sequence each (arXiv 2205.05198)."""
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero_bubble"] = "1f1b"
    """In which order a pipeline works through the micro-batches (`accumulate` of them)."""
    zero_stage: Literal[1, 2, 3] = 3
    """What DeepSpeed shards: optimizer state; gradients too; weights too."""
    offload: bool = False
    """Keep weights and optimizer state in the CPU's memory."""
    deepspeed: dict[str, Any] | None = None
    """DeepSpeed's own settings, merged over those that follow from the blueprint."""
    hang_seconds: float = Field(default=300.0, gt=0)
    """A step that takes longer than this, and ten times as long as the longest before it, counts as hanging: every
    process then writes its stacks into its log, and the stage starts again from its last checkpoint."""

    @property
    def processes(self) -> int:
        """All of them; `ep` divides `dp_shard` and adds none."""
        return prod((self.dp_replicate, self.dp_shard, self.cp, self.tp, self.pp))

    @property
    def dp(self) -> int:
        """Into how many parts a batch is split."""
        return self.dp_replicate * self.dp_shard
