"""`make bench NAME=align`: tokens per second and peak memory of SFT, DPO and GRPO against TRL; a PPO iteration.

A llama of 4 million random parameters learns from random prompts and answers of real lengths; every side has the same
weights, examples, batch, optimizer and precision, and a process of its own. TRL trains in each of its configurations
(random order, grouped by length, packed), and the fastest counts, also for memory. Each side's figure is the best of
two rounds, which alternate.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import align_sides as sides
from benchmarks.align_sides import CHECK, JOB, AlignJob
from benchmarks.measure import Failure, Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare

ROUNDS = 2
LIMIT = 240.0  # seconds for each peer
OURS = {"sft": sides.our_sft, "dpo": sides.our_dpo, "grpo": sides.our_grpo}
PEERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "sft": (sides.trl_sft, ("random", "group_by_length", "packed")),
    "dpo": (sides.trl_dpo, ("random", "group_by_length")),
    "grpo": (sides.trl_grpo, ("random",)),
}
METRICS: tuple[tuple[str, str, Better], ...] = (
    ("speed", "tokens/s", "higher"),
    ("CPU time", "ms/token", "lower"),
    ("peak memory", "MB", "lower"),
)


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for each method, in bf16 too where the processor multiplies it; examples are random, not `data`."""
    from groundup.machine import multiplies_bf16, usable_cores

    cores = usable_cores()
    with TemporaryDirectory() as folder:
        job = replace(CHECK if check else JOB, folder=folder)
        in_process(sides.make, asdict(job), cores=cores)
        for precision in ("fp32", "bf16") if multiplies_bf16() else ("fp32",):
            for name in OURS:
                yield from _method(name, replace(job, precision=precision), 1 if check else ROUNDS, cores)
        yield from _ppo(job, cores)


def _method(name: str, job: AlignJob, rounds: int, cores: int) -> Iterator[Row]:
    function, ways = PEERS[name]
    ours: list[Measurement] = []
    peers: list[tuple[str, Measurement]] = []
    failure = Failure("no configuration")
    for _ in range(rounds):
        ours.append(in_process(OURS[name], asdict(job), cores=cores))
        for way in ways:
            found = peer_in_process(function, asdict(job), way, cores=cores, limit=LIMIT)
            if isinstance(found, Failure):
                failure = Failure(f"{way}: {found.reason}")
            else:
                peers.append((way, found))
        if peers:
            ways = (_fastest(peers)[0],)  # the others are not tried again
    case = f"{name}, {job.precision}"
    if not peers:
        for metric, unit, better in METRICS:
            yield compare(case, metric, _figure(metric, _best(ours)), failure, "trl", unit, better)
        return
    way, theirs = _fastest(peers)
    for metric, unit, better in METRICS:
        figure = partial(_figure, metric)
        yield compare(f"{case}, trl {way}", metric, figure(_best(ours)), figure(theirs), "trl", unit, better)


def _ppo(job: AlignJob, cores: int) -> Iterator[Row]:
    """An iteration of 128 short answers, as many as the default run samples: rollout, scores, updates of policy and
    critic."""
    packed, padded = (in_process(sides.our_ppo, asdict(job), pack, cores=cores) for pack in (True, False))
    for metric, unit in (("seconds", "s"), ("CPU seconds", "s")):
        figures = packed.value[metric], padded.value[metric]
        yield compare("ppo iteration, 128 answers", metric, *figures, "groundup, padded", unit, "lower")


def _best(measured: list[Measurement]) -> Measurement:
    return max(measured, key=lambda one: float(one.value["speed"]))


def _fastest(peers: list[tuple[str, Measurement]]) -> tuple[str, Measurement]:
    return max(peers, key=lambda one: float(one[1].value["speed"]))


def _figure(metric: str, measured: Measurement) -> float:
    return measured.peak_rss_bytes / 1e6 if metric == "peak memory" else float(measured.value[metric])
