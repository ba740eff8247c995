"""`make bench NAME=train`: tokens per second and peak memory of a training step against the peers.

Every side trains the same shape on the same random tokens with the same batch, precision and optimizer (AdamW, clipping
at 1), in a process of its own; then, in the fastest precision, those that compile the model do so. Two shapes: Llama's,
against transformers' and litgpt's; GPT-2's, against transformers' and a plain reading of nanoGPT's step. Then our own
speed is compared with what matmuls reach on this machine, and with itself next to busy loops. Adapters (LoRA) of every
matrix are trained against PEFT's. Last, two claims that are often made are measured: what bf16 saves, and what
activation checkpointing saves and costs.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import train_peers as peers
from benchmarks.measure import Failure, Measurement, busy_cores, in_process, peer_in_process
from benchmarks.rows import Row, compare
from benchmarks.train_jobs import CHECK_SIZE, CLIP, LEARNING_RATE, SIZES, WARM_UP, Size, TrainJob, batch_of
from groundup.model.configuration import LLMConfig

BUSY = replace(SIZES[1], rows=4, steps=20)
CLAIMS = replace(SIZES[2], rows=8, steps=4)  # with activations that weigh more than the weights
PEERS = {
    "llama": {"transformers": peers.transformers_step, "litgpt": peers.litgpt_step},
    "gpt2": {"transformers": peers.transformers_step, "nanoGPT's step": peers.nanogpt_step},
}

RANK = 16  # of the adapters
COMPILING = ("litgpt", "nanoGPT's step")  # the peers whose own scripts compile the model


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for every size, in fp32 and, where the processor multiplies it, bf16; tokens are random, not `data`."""
    from groundup.machine import multiplies_bf16, usable_cores

    cores = usable_cores()
    precisions = ("fp32", "bf16") if multiplies_bf16() else ("fp32",)
    seconds = 0.1 if check else 4.0
    ceilings = {precision: in_process(ceiling, precision, seconds, cores=cores).value for precision in precisions}
    for size, precision, compiled in _kinds((CHECK_SIZE,) if check else SIZES, precisions):
        for family, others in PEERS.items():
            job = TrainJob(size, family, precision, compiled=compiled)
            ours = in_process(step, asdict(job), cores=cores)
            for name, function in others.items():
                if compiled and name not in COMPILING:
                    continue
                theirs = peer_in_process(function, asdict(job), cores=cores)
                yield _speed(job.case, (job, job), ours, theirs, name)
                if not compiled:  # compilers take memory of their own, in processes of their own
                    yield _memory(job.case, ours, theirs, name)
            rate = job.tokens / _step_seconds(ours) * ours.value["flops_per_token"] / 1e9
            name = "matmuls on this machine"
            yield compare(job.case, "arithmetic", rate, ceilings[precision] / 1e9, name, "GFLOP/s", "higher")
    yield from _adapters(CHECK_SIZE if check else SIZES[2], precisions, cores)
    yield from _busy_machine(CHECK_SIZE if check else BUSY, precisions[-1], cores)
    yield from _claims(replace(CHECK_SIZE, rows=8) if check else CLAIMS, precisions, cores)


def _adapters(size: Size, precisions: tuple[str, ...], cores: int) -> Iterator[Row]:
    """Adapters of every matrix, against PEFT's under transformers' Trainer."""
    for precision in precisions:
        job = TrainJob(size, "llama", precision, rank=RANK)
        ours = in_process(step, asdict(job), cores=cores)
        theirs = peer_in_process(peers.transformers_step, asdict(job), cores=cores)
        yield _speed(job.case, (job, job), ours, theirs, "peft")
        yield _memory(job.case, ours, theirs, "peft")


def _kinds(sizes: tuple[Size, ...], precisions: tuple[str, ...]) -> Iterator[tuple[Size, str, bool]]:
    """(size, precision, whether all sides are compiled): compilation where matmuls leave it most to gain."""
    for size in sizes:
        for precision in precisions:
            yield size, precision, False
        yield size, precisions[-1], True


def _busy_machine(size: Size, precision: str, cores: int) -> Iterator[Row]:
    """Our own step next to a busy loop on each core, against the idle machine."""
    job = TrainJob(size, "llama", precision)
    idle = in_process(step, asdict(job), cores=cores)
    with busy_cores(cores):
        busy = in_process(step, asdict(job), cores=cores)
    speed, their_speed = (1 / _step_seconds(measured) for measured in (busy, idle))
    yield compare(
        f"{job.case}, next to {cores} busy loops", "speed", speed, their_speed, "groundup, idle", "steps/s", "higher"
    )


def _claims(size: Size, precisions: tuple[str, ...], cores: int) -> Iterator[Row]:
    """Our own step against itself: bf16 against fp32, activation checkpointing against none."""
    jobs = {
        (precision, mode): TrainJob(size, "llama", precision, mode)
        for precision in precisions
        for mode in ("none", "full", "selective")
        if mode == "none" or precision == precisions[-1]
    }
    found = {key: in_process(step, asdict(job), cores=cores) for key, job in jobs.items()}
    pairs = [((precisions[-1], mode), (precisions[-1], "none")) for mode in ("full", "selective")]
    if len(precisions) > 1:
        pairs.insert(0, (("bf16", "none"), ("fp32", "none")))
    for one, other in pairs:
        case = f"{size.name} llama, {one[0]}" + (f", {one[1]} activation checkpointing" if one[1] != "none" else "")
        name = f"groundup, {other[0]}" + (" without" if one[1] != "none" else "")
        a, b = found[one], found[other]
        yield _speed(case, (jobs[one], jobs[other]), a, b, name)
        if one[1] != "selective":  # which stores outside autograd, where its hooks can't see it
            kept = [measured.value["kept_bytes"] / 1e6 for measured in (a, b)]
            yield compare(case, "activations kept", kept[0], kept[1], name, "MB", "lower")
        yield _memory(case, a, b, name)


def _speed(
    case: str, jobs: tuple[TrainJob, TrainJob], ours: Measurement, theirs: Measurement | Failure, name: str
) -> Row:
    speed = jobs[0].tokens / _step_seconds(ours)
    their_speed = theirs.figure(lambda it: jobs[1].tokens / _step_seconds(it))
    return compare(case, "speed", speed, their_speed, name, "tokens/s", "higher")


def _step_seconds(measured: Measurement) -> float:
    return median(measured.value["seconds"][WARM_UP:])


def _memory(case: str, ours: Measurement, theirs: Measurement | Failure, name: str) -> Row:
    their_peak = theirs.figure(lambda it: it.peak_rss_bytes / 1e6)
    return compare(case, "peak memory", ours.peak_rss_bytes / 1e6, their_peak, name, "MB", "lower")


def ceiling(precision: str, seconds: float) -> float:
    """FLOP/s that large matmuls reach."""
    import torch

    from groundup.parallel.device import settle
    from groundup.training.telemetry.ceiling import measure

    settle()
    return measure(torch.device("cpu"), torch.bfloat16 if precision == "bf16" else torch.float32, seconds=seconds)


def config_of(values: dict[str, Any]) -> LLMConfig:
    """Our model of a job's shape."""
    job = TrainJob.of(values)
    return LLMConfig.like(
        "gpt2" if job.family == "gpt2" else "llama",
        vocab_size=job.size.vocabulary,
        hidden_size=job.size.width,
        intermediate_size=job.feed_forward,
        num_hidden_layers=job.size.layers,
        num_attention_heads=job.size.heads,
        num_key_value_heads=job.size.heads,
        max_position_embeddings=job.size.context,
    )


def step(values: dict[str, Any]) -> dict[str, Any]:
    """Our side: seconds of each step, FLOPs of a token, and the bytes that a forward pass keeps for the way back."""
    import time

    import torch
    from torch import Tensor, nn

    from groundup.model.decoder import CustomLanguageModel
    from groundup.model.lora import add_adapters
    from groundup.model.lora_config import LoraConfig
    from groundup.parallel.compilation import compile_blocks
    from groundup.parallel.device import Precision, settle
    from groundup.parallel.recompute import ActivationCheckpointing, activations_kept, checkpoint_blocks
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.configuration import OptimizerConfig
    from groundup.training.optimizer import make_optimizer

    settle()
    size, config = TrainJob.of(values).size, config_of(values)
    model = CustomLanguageModel(config)
    recompute: ActivationCheckpointing = values["recompute"]
    if values["rank"]:
        add_adapters(model, LoraConfig(rank=values["rank"], alpha=2 * values["rank"]))
    checkpoint_blocks(model.model.layers, recompute)
    if values["compiled"]:
        compile_blocks(model.model.layers)
    precision: Precision = values["precision"]
    engine = SingleDevice(model, make_optimizer(OptimizerConfig()), torch.device("cpu"), precision)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(model, CustomLanguageModel)
        return model.loss_sum(*batch), {}

    seconds = []
    for number in range(WARM_UP + size.steps):
        batch = batch_of(size, number)
        started = time.perf_counter()
        engine.train_step([batch], [batch[1].numel()], loss, LEARNING_RATE, CLIP)
        seconds.append(time.perf_counter() - started)
    with activations_kept(model) as kept, engine.autocast():
        value, _ = loss(model, batch_of(size, 0))
    kept_bytes = sum(kept.values())
    del value
    return {"seconds": seconds, "flops_per_token": config.flops_per_token(size.context), "kept_bytes": kept_bytes}
