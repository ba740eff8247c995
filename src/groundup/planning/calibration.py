"""This machine's speed by a few real steps of a blueprint's own pretraining, in place of the probe's estimate."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter

import torch

from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import best_device, resolve_precision, settle
from groundup.parallel.recompute import checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.planning.machine import STEP_SECONDS, Machine
from groundup.planning.ranks import RankBatch
from groundup.planning.step import muon_flops
from groundup.training.configuration import PretrainConfig
from groundup.training.engines import recomputed
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch, next_token_loss, targets_of

STEPS, WARM_UP = 20, 10  # taken, and of these not counted: kernels are chosen and memory is asked for


@dataclass(frozen=True)
class SpeedCalibration:
    """What the steps came to."""

    step_seconds: float
    """The median."""
    tokens_per_second: float
    machine: Machine
    """With the speed at which a plan predicts this step."""


def calibrate(
    model: LLMConfig, config: PretrainConfig, machine: Machine, clock: Callable[[], float] = perf_counter
) -> SpeedCalibration:
    """Take steps of pretraining, in one process, on tokens of no meaning.

    The other kinds of work (forward passes, sampling) are taken to be off by the same factor.

    Args:
        config: the `pretrain:` section, filled in.
    """
    settle()
    device = best_device()
    precision = resolve_precision(config.precision, device)
    made = CustomLanguageModel(model, seed=0)
    checkpoint_blocks(made.model.layers, recomputed(config))
    engine = SingleDevice(made, make_optimizer(config.optimizer), device, precision)
    batch = whole_batch(model, config, ParallelConfig())
    seconds = []
    for step in range(STEPS):
        micro = random_batch(model, batch, step)
        began = clock()
        engine.train_step(micro, list(map(targets_of, micro)), next_token_loss, 0.0, 1.0)
        seconds.append(clock() - began)
    took = median(seconds[WARM_UP:])
    tokens = batch.rows * batch.sequence * batch.micro_batches
    flops = tokens * model.flops_per_token(batch.sequence)
    orthogonalised = muon_flops(model, config.optimizer) / machine.rate("muon", precision)
    expected = flops / machine.rate("train", precision) + orthogonalised
    factor = expected / max(took - STEP_SECONDS, took / 2)
    return SpeedCalibration(
        took, tokens / took, replace(machine, core_flops=machine.core_flops * factor, accelerator=None)
    )


def whole_batch(model: LLMConfig, config: PretrainConfig, parallel: ParallelConfig) -> RankBatch:
    """What a data-parallel process reads in a step."""
    assert config.batch_tokens, "filled in from `size`"
    sequence = min(config.sequence, model.max_position_embeddings)
    rows = config.batch_tokens // (sequence * config.accumulate * parallel.dp)
    return RankBatch(max(1, rows), sequence, config.accumulate)


def random_batch(model: LLMConfig, batch: RankBatch, seed: int = 0) -> list[TokenBatch]:
    """Micro-batches of tokens of no meaning."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randint(model.vocab_size, (batch.rows, batch.sequence + 1), generator=generator)
        for _ in range(batch.micro_batches)
    ]
    return [TokenBatch(ids[:, :-1], ids[:, 1:]) for ids in drawn]
