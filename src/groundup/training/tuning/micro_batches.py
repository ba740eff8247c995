"""How much of a batch to take at a time: real steps with more and more sequences, until memory or time is spent.

The batch is what a model learns from and stays as it is. Into how many micro-batches it is cut (`accumulate`) changes
how much memory a step takes and how fast it is.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from groundup.parallel.engine import Engine
from groundup.training.batch_size import BatchSizes
from groundup.training.pretraining import Pretraining, TokenBatch

SECONDS = 2.0  # of steps for each number of sequences
MIN_STEPS = 3  # of a kind
SLOWER = 0.8  # of the best speed: below that twice in a row, more sequences are not tried
MEMORY_FRACTION = 0.9  # of what is free may be used


@dataclass(frozen=True)
class Tried:
    """What a micro-batch of so many sequences came to."""

    rows: int
    accumulate: int
    """Micro-batches that make up the batch."""
    tokens_per_second: float = 0.0
    """Of whole steps: so many micro-batches and one step of the optimizer."""
    memory_bytes: int = 0
    """The most that was taken: of the GPU, or by this process."""
    fits: bool = True


def try_micro_batches(
    engine: Engine,
    objective: Pretraining,
    rows: int,
    *,
    room: int | None = None,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Tried]:
    """Measure 1, 2, 4, ... sequences at a time, up to `rows`, and `rows` itself.

    The engine's weights stay as they are: steps are taken with a learning rate of 0.

    Args:
        objective: where the tokens come from.
        rows: sequences of the whole batch.
        room: bytes that this process may take in all on a CPU; None: not known. A number of sequences that would need
            more, extrapolated from the ones before, is not tried. A GPU raises when it has no more.
        seconds: to measure each for.

    Yields:
        One for each number that was tried; the last one may be one that does not fit.
    """
    needed: list[tuple[int, int]] = [(0, _memory(engine.device))]
    best, slower = 0.0, 0
    for count in _counts(rows):
        parts = -(-rows // count)
        if room is not None and engine.device.type == "cpu" and _expected(needed, count) > MEMORY_FRACTION * room:
            yield Tried(count, parts, memory_bytes=_expected(needed, count), fits=False)
            return
        batch = Pretraining(
            objective.train,
            None,
            batch_tokens=0,
            accumulate=min(parts, 2),
            sizes=BatchSizes(count),
            inside_documents=objective.inside_documents,
        ).batches(0)
        took = _step_seconds(engine, objective, batch, parts, seconds, clock)
        if took is None:
            yield Tried(count, parts, fits=False)
            return
        needed.append((count, _memory(engine.device)))
        speed = count * parts * objective.train.length / took
        yield Tried(count, parts, speed, needed[-1][1])
        slower = slower + 1 if speed < SLOWER * best else 0
        best = max(best, speed)
        if slower == 2:
            return


def fastest(tried: Sequence[Tried]) -> Tried | None:
    """The fastest of those that fit; None where none does."""
    return max((one for one in tried if one.fits), key=lambda one: one.tokens_per_second, default=None)


def _counts(rows: int) -> list[int]:
    doubled = [1 << power for power in range(rows.bit_length()) if 1 << power < rows]
    return [*doubled, rows]


def _expected(needed: Sequence[tuple[int, int]], count: int) -> int:
    """Bytes for `count` sequences, on the line through the last two measurements."""
    (less, before), (last, now) = needed[-2] if len(needed) > 1 else needed[-1], needed[-1]
    return now if last == less else now + (now - before) * (count - last) // (last - less)


def _step_seconds(
    engine: Engine,
    objective: Pretraining,
    batch: Sequence[TokenBatch],
    parts: int,
    seconds: float,
    clock: Callable[[], float],
) -> float | None:
    """Seconds of a step of `parts` micro-batches, from steps of one and of two; None: memory does not suffice."""
    until = clock() + seconds
    try:
        one = _fastest_of(engine, objective, batch[:1], until - seconds / 2, clock)
        two = _fastest_of(engine, objective, batch, until, clock) if parts > 1 else one
    except RuntimeError as error:  # a GPU's is a torch.OutOfMemoryError, the CPU's allocator has none of its own
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        engine.optimizer.zero_grad(set_to_none=True)
        if engine.device.type == "cuda":
            torch.cuda.empty_cache()
        return None
    return one + (parts - 1) * max(two - one, 0.0)


def _fastest_of(
    engine: Engine, objective: Pretraining, batch: Sequence[TokenBatch], until: float, clock: Callable[[], float]
) -> float:
    """Seconds of the fastest of some steps; the first, which makes code and asks for memory, is not counted."""
    best, taken = float("inf"), 0
    weights = [objective.weight(part) for part in batch]
    while taken <= MIN_STEPS or clock() < until:
        began = clock()
        result = engine.train_step(batch, weights, objective.loss, 0.0, 1.0, where="tune")
        if result.taken:  # an overflow under fp16 skips the optimizer's part
            best = min(best, clock() - began) if taken else best
            taken += 1
    return best


def _memory(device: torch.device) -> int:
    """The most bytes taken so far; it only grows, and so do the micro-batches."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
