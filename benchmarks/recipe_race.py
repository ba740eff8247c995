"""Training against a clock: one loop for all sides, on the same tokens, with a schedule over the time that is left.

A side is a model with its optimizer and says what a step does; the loop draws its batches, stops the clock for looks at
the validation text, and measures the test text at the end. Compilation is not counted: a few steps are taken before the
start, and the side then starts again.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.tokenizer.tokenizer import Tokenizer

Clock = Literal["wall", "cpu"]
CLOCKS: dict[Clock, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
CONTEXT, SEED = 256, 1337
LOOKS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9)  # parts of the budget after which the validation text is looked at
VALIDATION, TEST = 48, 400  # windows of CONTEXT tokens at most
WARM_UP = 3  # steps that compile
ROWS = 16  # windows of a forward pass that measures


@dataclass(frozen=True)
class Job:
    """What all sides of a run have in common; JSON-ready by `vars`."""

    tokens: str  # folder of the token files
    tokenizer: str
    budget: float  # seconds
    clock: Clock
    precision: str
    compiled: bool
    check: bool = False  # a few steps of a tiny model
    seed: int = SEED  # of the project's models, and of the order of the samples


class Side(ABC):
    """A model, its optimizer and its schedule."""

    rows = 8  # sequences of a step

    @abstractmethod
    def restart(self) -> None:
        """Start again, with what is compiled."""

    @abstractmethod
    def step(self, rows_BT1: Tensor, number: int, progress: float) -> None:
        """Train on `rows` sequences [B, T + 1].

        Args:
            number: of the step, from 0.
            progress: the part of the budget that is used up.
        """

    @abstractmethod
    def nats(self, rows_BT1: Tensor) -> float:
        """The sum over all targets."""

    @property
    @abstractmethod
    def parameters(self) -> int: ...


def race(side: Side, job: Job) -> dict[str, Any]:
    """{parameters, steps, tokens, seconds, looks: [[seconds, validation bits per byte], ...], test}."""
    now, texts = CLOCKS[job.clock], Texts(job)
    for number in range(WARM_UP):
        side.step(texts.batch(number, side.rows), number, 0.0)
    side.restart()
    looks, due = list[tuple[float, float]](), [job.budget * part for part in LOOKS]
    seconds, steps, most = 0.0, 0, 2 if job.check else 10**9
    while seconds < job.budget and steps < most:
        began = now()
        side.step(texts.batch(steps, side.rows), steps, seconds / job.budget)
        seconds, steps = seconds + now() - began, steps + 1
        if due and seconds >= due[0]:
            due.pop(0)
            looks.append((seconds, texts.validation.bits(side)))
    looks.append((seconds, texts.validation.bits(side)))
    tokens = steps * side.rows * CONTEXT
    test = texts.test.bits(side)
    found = {"parameters": side.parameters, "steps": steps, "tokens": tokens, "seconds": seconds}
    return {**found, "looks": looks, "test": test}


class Texts:
    """The tokens that are trained on, and two parts of the held-out ones: choices are made on the first."""

    def __init__(self, job: Job) -> None:
        tokenizer = Tokenizer.load(Path(job.tokenizer))
        train, heldout = (TokenShard.open(Path(job.tokens), split, tokenizer) for split in ("train", "heldout"))
        self._stream, windows = SampleStream(train, CONTEXT, job.seed), Windows(heldout, CONTEXT)
        samples, validation = len(windows), 1 if job.check else VALIDATION
        half = samples // 2
        sizes = np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocabulary_size)])
        sizes[list(tokenizer.special_ids.values())] = 0
        self.validation = Measured(windows, np.arange(min(half, validation)), sizes)
        last = min(samples, half + (1 if job.check else TEST))
        self.test = Measured(windows, np.arange(half, last), sizes)

    def batch(self, step: int, rows: int) -> Tensor:
        return torch.from_numpy(self._stream.batch(step * rows, rows))


class Measured:
    """Some windows of a held-out text, and the bytes of their targets."""

    def __init__(self, windows: Windows, samples: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        rows = windows.rows(samples)
        self.rows, self.bytes = torch.from_numpy(rows), int(sizes[rows[:, 1:]].sum())

    @torch.no_grad()
    def bits(self, side: Side) -> float:
        """Bits per byte; documents follow each other as in training, and each window begins without a context."""
        total = sum(side.nats(rows) for rows in torch.split(self.rows, ROWS))
        return total / (math.log(2) * self.bytes)
