"""`make bench NAME=engines`: two processes against one with two threads, and what each layout sends at minimum.

A model of 30 million parameters in Llama's shape takes the same batch under every layout, on as many cores. Speed is
that of one process with all cores; bytes are those at a process's sockets, held against what textbook algorithms send
(`parallel/mesh/traffic.py`).
"""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.measure import in_process
from benchmarks.rows import Row, compare
from benchmarks.train_jobs import CHECK_SIZE, CLIP, LEARNING_RATE, SIZES, WARM_UP, TrainJob, batch_of

JOB = TrainJob(replace(SIZES[2], rows=4, steps=4), "llama", "fp32")
CHECK = TrainJob(replace(CHECK_SIZE, rows=4), "llama", "fp32")
LAYOUTS: dict[str, dict[str, Any]] = {
    "ddp 2": {"dp_replicate": 2},
    "fsdp 2": {"dp_shard": 2},
    "tp 2": {"tp": 2, "sequence_parallel": False},
    "tp 2, sequence parallel": {"tp": 2},
    "pp 2": {"pp": 2},
    "cp 2": {"cp": 2},
}
ACCUMULATE = 2


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for every layout of two processes; tokens are random, not `data`."""
    job = CHECK if check else JOB
    one = in_process(alone, asdict(job), cores=2)
    for name, degrees in LAYOUTS.items():
        several = in_process(together, degrees, asdict(job), cores=2)
        speed = [job.tokens / median(seconds) for seconds in (several.value["seconds"], one.value["seconds"])]
        case = f"{job.case}, {name}"
        yield compare(case, "speed", speed[0], speed[1], "groundup, 1 process, 2 threads", "tokens/s", "higher")
        sent, minimum = several.value["sent"] / 1e6, several.value["minimum"] / 1e6
        yield compare(case, "sent per step and process", sent, minimum, "textbook minimum", "MB", "lower")


def alone(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each step of one process with all cores."""
    return _steps({}, TrainJob.of(job))


def together(degrees: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Mean over the processes of a layout: seconds of each step, bytes sent in the last one, and the minimum."""
    import multiprocessing

    from groundup.parallel.configuration import ParallelConfig

    count = ParallelConfig(**degrees).processes
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [context.Process(target=_rank, args=(rank, count, degrees, job, folder)) for rank in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        found = [json.loads((Path(folder) / str(rank)).read_text()) for rank in range(count)]
    return {
        "seconds": [max(step) for step in zip(*(one["seconds"] for one in found), strict=True)],
        "sent": mean(one["sent"] for one in found),
        "minimum": found[0]["minimum"],
    }


def _rank(rank: int, count: int, degrees: dict[str, Any], job: dict[str, Any], folder: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank), "GROUNDUP_THREADS": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _port(folder, rank), "GLOO_SOCKET_IFNAME": "lo"}
    (Path(folder) / str(rank)).write_text(json.dumps(_steps(degrees, TrainJob.of(job))))


def _port(folder: str, rank: int) -> str:
    """A free port, which rank 0 finds and the others wait for."""
    import socket
    import time

    path = Path(folder) / "port"
    if rank == 0:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        aside = path.with_suffix(".new")
        aside.write_text(port)
        aside.rename(path)
    while not path.exists():
        time.sleep(0.01)
    return path.read_text()


def _steps(degrees: dict[str, Any], job: TrainJob) -> dict[str, Any]:
    import time

    import torch
    from torch import nn

    from benchmarks.train import config_of
    from groundup.model.decoder import CustomLanguageModel
    from groundup.parallel.configuration import ParallelConfig
    from groundup.parallel.device import settle
    from groundup.parallel.engine import Engine
    from groundup.parallel.mesh.engine import MeshEngine
    from groundup.parallel.mesh.process_group import leave
    from groundup.parallel.mesh.traffic import minimum, sent
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.configuration import OptimizerConfig
    from groundup.training.optimizer import make_optimizer
    from groundup.training.pretraining import TokenBatch

    settle()
    parallel, config, size = ParallelConfig(**degrees), config_of(asdict(job)), job.size
    make, model = make_optimizer(OptimizerConfig()), CustomLanguageModel(config)
    engine: Engine
    if parallel.processes == 1:
        engine = SingleDevice(model, make, torch.device("cpu"), "fp32")
    else:
        engine = MeshEngine(model, make, parallel, "fp32")

    def loss(model: nn.Module, batch: TokenBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        assert isinstance(model, CustomLanguageModel)
        return model.loss_sum(batch.inputs_BT, batch.targets_BT), {}

    seconds, before = list[float](), 0
    rows = size.rows // ACCUMULATE
    for number in range(WARM_UP + size.steps):
        inputs, targets = batch_of(size, number)
        batches = []
        for first in range(0, size.rows, rows):
            mine = engine.data_rank.of(rows)
            local = slice(first + mine.start, first + mine.stop)
            batches.append(TokenBatch(inputs[local], targets[local]))
        before = sent()
        started = time.perf_counter()
        engine.train_step(batches, [batch.targets_BT.numel() for batch in batches], loss, LEARNING_RATE, CLIP)
        seconds.append(time.perf_counter() - started)
    moved = sent() - before
    bound = minimum(parallel, config, micro_batches=ACCUMULATE, rows=rows // parallel.dp, length=size.context)
    leave()
    return {"seconds": seconds[WARM_UP:], "sent": moved, "minimum": bound}
