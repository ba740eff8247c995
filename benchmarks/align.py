"""`make bench NAME=align`: tokens per second and peak memory of SFT, DPO and GRPO against TRL; a PPO iteration.

A llama of 4 million random parameters learns from random prompts and answers of real lengths; every side has the same
weights, examples, batch and optimizer, and a process of its own. TRL trains in each of its configurations (random
order, grouped by length, packed), in fp32 and where the processor multiplies it in bf16. The fastest of them in each
precision is measured again, and counts, also for memory; the rows `either` compare the faster precision of each side.
A side's figure is the best of two rounds, which alternate.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from benchmarks import align_sides as sides
from benchmarks.align_sides import CHECK, JOB, AlignJob
from benchmarks.measure import Failure, Measurement, in_process, peer_in_process
from benchmarks.rows import Better, Row, compare

Peer = tuple[str, Measurement]  # (configuration, what it measured)
Precision = Literal["fp32", "bf16"]
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

    cores, rounds = usable_cores(), 1 if check else ROUNDS
    with TemporaryDirectory() as folder:
        job = replace(CHECK if check else JOB, folder=folder)
        in_process(sides.make, asdict(job), cores=cores)
        precisions: tuple[Precision, ...] = ("fp32", "bf16") if multiplies_bf16() else ("fp32",)
        for name in OURS:
            found = {one: _measured(name, replace(job, precision=one), rounds, cores) for one in precisions}
            for precision, (ours, theirs) in found.items():
                yield from _rows(f"{name}, {precision}", ours, theirs)
            peers = [theirs for _, theirs in found.values() if not isinstance(theirs, Failure)]
            if len(peers) == len(precisions) > 1:
                yield from _rows(f"{name}, either", _best([ours for ours, _ in found.values()]), _fastest(peers))
        yield from _ppo(job, cores)


def _measured(name: str, job: AlignJob, rounds: int, cores: int) -> tuple[Measurement, Peer | Failure]:
    """(our best, TRL's fastest configuration's best)."""
    function, ways = PEERS[name]
    ours: list[Measurement] = []
    peers: list[Peer] = []
    failure = Failure("no configuration")
    for _ in range(rounds):
        ours.append(in_process(OURS[name], asdict(job), cores=cores))
        for way in ways:
            found = peer_in_process(function, asdict(job), way, cores=cores, limit=LIMIT)
            if isinstance(found, Failure):
                failure = Failure(f"{way}: {found.reason}")
            else:
                peers.append((f"{way}, {job.precision}", found))
        if peers:
            ways = (_fastest(peers)[0].partition(",")[0],)  # the others are not tried again
    return _best(ours), _fastest(peers) if peers else failure


def _rows(case: str, ours: Measurement, peer: Peer | Failure) -> Iterator[Row]:
    way, theirs = ("", peer) if isinstance(peer, Failure) else (f", trl {peer[0]}", peer[1])
    for metric, unit, better in METRICS:
        figure = partial(_figure, metric)
        yield compare(f"{case}{way}", metric, figure(ours), theirs.figure(figure), "trl", unit, better)


def _ppo(job: AlignJob, cores: int) -> Iterator[Row]:
    """An iteration of 128 short answers, as many as the default run samples: rollout, scores, updates of policy and
    critic. Against rows of padded answers, and with the critic on the policy against one of its own."""

    def measured(pack: bool, critic: str) -> Measurement:
        return in_process(sides.our_ppo, asdict(job), pack, critic, cores=cores)

    packed, padded, trunk = measured(True, "separate"), measured(False, "separate"), measured(True, "trunk")
    for case, ours, others, name in (
        ("ppo iteration, 128 answers", packed, padded, "groundup, padded"),
        ("ppo iteration, 128 answers, critic: trunk", trunk, packed, "groundup, critic: separate"),
    ):
        for metric in ("seconds", "CPU seconds"):
            yield compare(case, metric, ours.value[metric], others.value[metric], name, "s", "lower")


def _best(measured: list[Measurement]) -> Measurement:
    return max(measured, key=lambda one: float(one.value["speed"]))


def _fastest(peers: list[Peer]) -> Peer:
    return max(peers, key=lambda one: float(one[1].value["speed"]))


def _figure(metric: str, measured: Measurement) -> float:
    return measured.peak_rss_bytes / 1e6 if metric == "peak memory" else float(measured.value[metric])
