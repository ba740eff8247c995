"""What one process of a layout holds, sends and waits for in pretraining.

P are the parameters of the process's pipeline stage over `tp`, S the processes that shard them, T the tokens of a
micro-batch that the process reads, d the width, V the vocabulary:

    weights, gradients, optimizer state   4 P / S, 4 P / S, 8 P / S (AdamW under FSDP; others: `processes.shards`)
    gathered weights                  of the largest layer, embedding or head: 2 in bf16 (used and next), its gradient
                                      in float32
    activations                       `memory.layer_values`, over tp, of the micro-batches in flight
    gathered stream                   under tp: the norm's output and its gradient, of all of T
    logits                            `memory.chunked_logits_bytes`, or 12 T V / tp where all are held

    FSDP          two gatherings of bf16 weights and one summing of float32 gradients per micro-batch:
                  (2 x 2 + 4) P (S - 1) / S bytes
    DDP           2 x 4 P (R - 1) / R per step
    tp            8 times T d bf16 per layer, 10 with full checkpointing (arXiv 2205.05198), x (tp - 1) / tp
    cp            keys and values of all other processes, forward and backward, and their gradients
    pp            T d each way between stages
    bubble        (pp - 1) / (v m + pp - 1) of a step, m micro-batches, v stages per process (arXiv 2104.04473);
                  a third of it with zero_bubble (arXiv 2401.10241)

Not counted: the CUDA context, NCCL's buffers and what the allocator can't use.
"""

import math
from dataclasses import dataclass

from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.schedules import stages_per_process
from groundup.planning.devices import Device
from groundup.planning.memory import Checkpointing, chunked_logits_bytes, layer_values
from groundup.planning.processes import shards

BF16 = 2


@dataclass(frozen=True)
class Trainer:
    """How a trainer differs from another in what it keeps; the defaults are groundup's."""

    stream_bytes: int = 4
    """Of a number in the residual stream."""
    whole_logits: bool = False
    """Whether the loss holds all logits at once."""
    selective_fraction: float = 1.0
    """Of the matmuls, how many selective checkpointing keeps."""
    gathers_stage: bool = False
    """Whether a pipeline stage's weights and their gradients stay gathered over its micro-batches."""


@dataclass(frozen=True)
class RankBatch:
    """What one data-parallel process reads in a step."""

    rows: int
    """Sequences of a micro-batch."""
    sequence: int
    micro_batches: int = 1


def rank_memory(
    model: LLMConfig,
    parallel: ParallelConfig,
    batch: RankBatch,
    checkpointing: Checkpointing = "none",
    trainer: Trainer = Trainer(),
) -> dict[str, int]:
    """Bytes by part on the process that holds most, in bf16 training with AdamW."""
    tokens, tp = batch.rows * batch.sequence // parallel.cp, parallel.tp
    layers, held, largest = _stage(model, parallel)
    data = parallel.dp_shard * parallel.cp
    found = {
        part: width * held * parallel.pp // shards(part, parallel)
        for part, width in (("weights", 4), ("gradients", 4), ("optimizer state", 8))
    }
    if data == 1:
        found["bf16 copies"] = BF16 * held // tp
    elif parallel.pp > 1 and trainer.gathers_stage:
        found["gathered weights"] = (BF16 + 4) * held // tp
    else:
        found["gathered weights"] = (2 * BF16 + 4) * largest // tp

    def layer(mode: Checkpointing) -> float:
        stream, other = layer_values(model, mode)
        if mode == "selective":
            attended = model.num_attention_heads * model.head_dim
            other = round(attended + trainer.selective_fraction * (other - attended))
        stream_cut = tp if parallel.sequence_parallel else 1
        return trainer.stream_bytes * stream / stream_cut + BF16 * other / tp

    again = 0.0 if checkpointing == "none" else layer("none")
    in_flight = _in_flight(parallel, batch.micro_batches)
    found["activations"] = round(tokens * (in_flight * layers * layer(checkpointing) + again))
    if tp > 1:
        found["gathered stream"] = 2 * BF16 * tokens * model.hidden_size
    if trainer.whole_logits:
        # bf16 and float32 logits, and log-probabilities; over tp also their exponentials
        found["logits"] = (12 if tp == 1 else 16) * tokens * model.vocab_size // tp
    else:
        found["logits"] = chunked_logits_bytes(model, tokens, "bf16") // tp
    return found


def bubble(parallel: ParallelConfig, micro_batches: int) -> float:
    """The fraction of a step in which a process of a pipeline waits."""
    waits = parallel.pp - 1
    if parallel.schedule == "zero_bubble":
        return waits / (3 * micro_batches + waits)
    return waits / (stages_per_process(parallel) * micro_batches + waits)


def sent_bytes(
    model: LLMConfig, parallel: ParallelConfig, batch: RankBatch, checkpointing: Checkpointing = "none"
) -> dict[str, int]:
    """Bytes that a process sends in a step, by what spreads the model."""
    tokens, times = batch.rows * batch.sequence // parallel.cp, batch.micro_batches
    layers, held, _ = _stage(model, parallel)
    data, copies = parallel.dp_shard * parallel.cp, parallel.dp_replicate
    own = held / parallel.tp
    stream = BF16 * tokens * model.hidden_size
    kv = BF16 * tokens * 2 * model.num_key_value_heads * model.head_dim / parallel.tp
    found = {
        "FSDP": times * 8 * own * (data - 1) / data,
        "DDP": 2 * 4 * own / data * (copies - 1) / copies,
        "tp": times * layers * (10 if checkpointing == "full" else 8) * stream * (parallel.tp - 1) / parallel.tp,
        "cp": times * layers * 3 * kv * (parallel.cp - 1),
        "pp": (times * 2 * stages_per_process(parallel) * stream / parallel.tp if parallel.pp > 1 else 0.0),
    }
    return {name: round(amount) for name, amount in found.items() if amount}


def tokens_per_second(model: LLMConfig, device: Device, sequence: int, lost: float = 0.0) -> float:
    """Of one device, at its MFU, where it waits for the fraction `lost` of the time."""
    return device.flops * device.mfu * (1 - lost) / model.flops_per_token(sequence)


def _stage(model: LLMConfig, parallel: ParallelConfig) -> tuple[int, int, int]:
    """(layers, parameters, parameters of the largest layer, embedding or head) of the largest pipeline stage."""
    parts, layers = model.parts, math.ceil(model.num_hidden_layers / parallel.pp)
    ends = parts["embedding"], parts.get("head", 0)
    one = (sum(parts.values()) - sum(ends)) // model.num_hidden_layers
    held = model.num_parameters if parallel.pp == 1 else layers * one + max(ends)
    return layers, held, max(one, *ends)


def _in_flight(parallel: ParallelConfig, micro_batches: int) -> float:
    """Micro-batches whose activations the first stage of a pipeline keeps at the same time (arXiv 2104.04473)."""
    pp, v = parallel.pp, stages_per_process(parallel)
    if parallel.schedule == "gpipe":
        return micro_batches
    return min(micro_batches, pp * (1 + (pp - 1) / (pp * v) if v > 1 else 1))
