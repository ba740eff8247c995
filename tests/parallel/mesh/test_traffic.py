"""What processes send is counted at their sockets, and a layout sends about the minimum."""

import socket
from typing import Any

import pytest
import torch

import ranks
import tiny
from curves import Training, loss, weight
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.mesh.traffic import minimum, sent
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

SHAPE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 4, "vocab_size": 256}
WIDE = Training(shape=SHAPE, rows=8, length=64)


def test_bytes_are_counted_exactly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        before = sent()
        one.sendall(bytes(12_345))
        received = 0
        while received < 12_345:
            received += len(other.recv(65_536))
        assert sent() - before == 12_345
        other.close()


def a_step(degrees: dict[str, Any]) -> int:
    engine = MeshEngine(WIDE.model(), make_optimizer(OptimizerConfig()), ParallelConfig(**degrees), "fp32")
    for step in range(2):  # in the first one connections are made
        batches = WIDE.batches(step, engine.data_rank)
        before = sent()
        engine.train_step(batches, [weight(batch) for batch in batches], loss, 1e-3, 1.0)
    torch.distributed.barrier()
    return sent() - before


# Gloo makes a reduce-scatter of an all-reduce, which sends twice as much; ends of a pipeline that share the embedding
# exchange its gradient as well.
@pytest.mark.parametrize(
    ("degrees", "most"),
    [
        ({"dp_replicate": 2}, 1.05),
        ({"dp_shard": 2}, 1.35),
        ({"dp_replicate": 2, "dp_shard": 2}, 1.35),
        ({"tp": 2, "sequence_parallel": False}, 1.1),
        ({"tp": 2}, 1.55),
        ({"pp": 2, "schedule": "gpipe"}, 1.35),
        ({"cp": 2}, 1.45),
    ],
    ids=["ddp", "fsdp", "hsdp", "tp", "tp, sequence", "pp", "cp"],
)
def test_a_step_sends_about_the_minimum(degrees: dict[str, Any], most: float) -> None:
    parallel = ParallelConfig(**degrees)
    counts = ranks.run(parallel.processes, a_step, degrees)
    bound = minimum(
        parallel,
        tiny.shape(**SHAPE),
        micro_batches=WIDE.accumulate,
        rows=WIDE.rows // parallel.dp,
        length=WIDE.length,
    )
    assert 0.95 < sum(counts) / len(counts) / bound < most
