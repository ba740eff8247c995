"""`groundup bench train`: tokens per second and peak memory of a training step against the peers.

Every side trains the same shape on the same random tokens with the same batch, precision and optimizer (AdamW, clipping
at 1), in a process of its own. Two shapes: Llama's, against transformers' and litgpt's; GPT-2's, against transformers'
and a plain reading of nanoGPT's step.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from groundup.bench import train_peers as peers
from groundup.bench.measure import Measured, in_process
from groundup.bench.rows import Row, compare

WARM_UP = 3  # steps that are not counted


@dataclass(frozen=True)
class Size:
    """A shape, and a batch that a step of about a second reads."""

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


def run(data: Path | None) -> Iterator[Row]:
    """Rows for every size, in fp32 and, where the processor multiplies it, bf16; tokens are random, not `data`."""
    from groundup.parallel.device import cpu_multiplies_bf16, usable_cores

    cores = usable_cores()
    sides = {
        "llama": {"transformers": peers.transformers_step, "litgpt": peers.litgpt_step},
        "gpt2": {"transformers": peers.transformers_step, "nanoGPT's step": peers.nanogpt_step},
    }
    for size in SIZES:
        for precision in ("fp32", "bf16") if cpu_multiplies_bf16() else ("fp32",):
            for family, others in sides.items():
                job = peers.Job(family, precision, **{k: v for k, v in vars(size).items() if k != "name"})
                ours = in_process(step, vars(job), cores=cores)
                for name, function in others.items():
                    theirs = in_process(function, vars(job), cores=cores)
                    yield from _rows(f"{size.name} {family} {precision}", job, ours, theirs, name)


def _rows(case: str, job: peers.Job, ours: Measured, theirs: Measured, name: str) -> Iterator[Row]:
    tokens = job.rows * job.context
    mine, other = tokens / median(ours.value[WARM_UP:]), tokens / median(theirs.value[WARM_UP:])
    yield compare(case, "speed", mine, other, name, "tokens/s", "higher")
    yield compare(case, "peak memory", ours.peak_rss_bytes / 1e6, theirs.peak_rss_bytes / 1e6, name, "MB", "lower")


def step(job_values: dict[str, Any]) -> list[float]:
    """Seconds of each of our steps."""
    import time

    import torch
    from torch import Tensor, nn

    from groundup.model.configuration import LLMConfig
    from groundup.model.decoder import CustomLanguageModel
    from groundup.parallel.device import settle
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.configuration import OptimizerConfig
    from groundup.training.optimizer import make_optimizer

    settle()
    job = peers.Job(**job_values)
    gpt2 = job.family == "gpt2"
    config = LLMConfig.like(
        "gpt2" if gpt2 else "llama",
        vocab_size=job.vocabulary,
        hidden_size=job.width,
        intermediate_size=job.feed_forward,
        num_hidden_layers=job.layers,
        num_attention_heads=job.heads,
        num_key_value_heads=job.heads,
        max_position_embeddings=job.context,
    )
    model = CustomLanguageModel(config)
    engine = SingleDevice(model, make_optimizer(OptimizerConfig()), torch.device("cpu"), job.precision)  # type: ignore[arg-type]

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(model, CustomLanguageModel)
        return model.loss_sum(*batch), {}

    seconds = []
    for number in range(WARM_UP + job.steps):
        batch = peers.batch_of(job, number)
        started = time.perf_counter()
        engine.train_step([batch], [batch[1].numel()], loss, 1e-3, 1.0)
        seconds.append(time.perf_counter() - started)
    return seconds
