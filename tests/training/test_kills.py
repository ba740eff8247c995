"""Training that is killed at random times, again and again, ends as if it had never been: the same bits.

The process saves after every step, so most kills come while a checkpoint is being written.
"""

import hashlib
import multiprocessing as mp
import os
import random
import time
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint  # here, so that processes forked later need not import it each time

import tiny
from groundup.parallel.single_device import SingleDevice
from groundup.progress import Silent
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import GuardConfig, LoopConfig, OptimizerConfig
from groundup.training.loop import TrainPlan, train
from groundup.training.optimizer import make_optimizer
from resuming import outcome, pretraining

STEPS = 40
CONFIG = LoopConfig(
    checkpoint_seconds=0,
    checkpoint_every=7,
    checkpoint_best=True,
    ema=0.9,
    guard=GuardConfig(skip_spikes=True, on_divergence="return"),
    optimizer=OptimizerConfig(name="muon"),
)


def digest(folder: Path) -> str:
    """Train in `folder` to the end, from where it is; SHA-256 of all that is left but for times."""
    engine = SingleDevice(
        tiny.model(), make_optimizer(CONFIG.optimizer), torch.device("cpu"), "fp32", ema_decay=CONFIG.ema
    )
    figures = train(
        engine,
        pretraining(),
        TrainPlan(STEPS, 1e-2, CONFIG, validate_every=10),
        title="killed",
        checkpoints=Checkpoints(folder, CONFIG),
        metrics_path=folder / "metrics.jsonl",
        progress=Silent(),
    )
    left = outcome(engine.state(), folder / "metrics.jsonl", figures)
    found = hashlib.sha256(repr((left.rows, left.figures)).encode())
    for name, tensor in sorted(left.tensors.items()):
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def life(folder: Path) -> None:
    torch.set_num_threads(1)
    found = digest(folder)
    (folder / "digest").write_text(found)
    os._exit(0)


def killed_run(folder: Path, longest: float, generator: random.Random) -> tuple[int, int]:
    """A run to its end in processes that live for at most `longest` seconds; (kills, those that came while a checkpoint
    was written)."""
    kills = writing = 0
    while not (folder / "digest").exists():
        process = mp.get_context("fork").Process(target=life, args=(folder,))
        process.start()
        process.join(generator.uniform(0, longest))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            writing += (folder / ".checkpoint").exists()
        else:
            assert process.exitcode == 0
    return kills, writing


@pytest.mark.parametrize("least", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_times_ends_with_the_same_bits(least: int, tmp_path: Path) -> None:
    began = time.monotonic()
    expected, generator = digest(tmp_path / "0"), random.Random(least)
    longest = (time.monotonic() - began) / 4
    kills, writing, runs = 0, 0, 1
    while kills < least or not writing:
        folder = tmp_path / str(runs)
        more, while_writing = killed_run(folder, longest, generator)
        assert (folder / "digest").read_text() == expected
        kills, writing, runs = kills + more, writing + while_writing, runs + 1
