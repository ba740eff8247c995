"""What a process sends to others in a step: measured at its sockets, and the minimum for a layout.

    before = sent()
    engine.train_step(...)
    print(sent() - before, minimum(parallel, config, micro_batches=2, rows=4, length=128))

The minimum is what textbook algorithms send, as a mean over the processes: to sum or to gather n bytes over p
processes, a ring sends n (p - 1) / p from each (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms");
an all-reduce is a reduce-scatter and an all-gather.

    dp_replicate   the gradient, all-reduced                                          once a step
    dp_shard       weights gathered for the forward pass and for the backward pass, gradients reduce-scattered
                                                                                      for each micro-batch (ZeRO-3)
    tp             the stream summed after each sub-layer, its gradient before each; the same at either end
    pp             the stream and its gradient between stages
    cp             keys and values gathered, their gradients reduce-scattered, in each layer; weights as dp_shard

Suffixes as in `model/decoder.py`.
"""

import os
import socket
import stat
import struct
import sys
from pathlib import Path

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig

BYTES_SENT = 200  # where struct tcp_info of linux/tcp.h has tcpi_bytes_sent, 64 bits (since Linux 4.19)
FLOAT = 4


def sent() -> int:
    """Bytes that this process has sent to others by TCP so far, as gloo does; repeated ones are counted again.

    Raises:
        GroundupError: not on Linux.
    """
    if sys.platform != "linux":
        raise GroundupError("what sockets have sent is only known on Linux", do="measure there")
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        number = int(entry.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                    information = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_SENT + 8)
                    total += struct.unpack_from("=Q", information, BYTES_SENT)[0]
        except OSError:  # closed meanwhile, as the descriptor of the listing itself
            continue
    return total


def minimum(parallel: ParallelConfig, config: LLMConfig, *, micro_batches: int, rows: int, length: int) -> float:
    """Bytes that a process must send in a step in float32, on average over the processes.

    Args:
        micro_batches, rows, length: of a process's part of the batch, before cp cuts the rows.
    """
    tp, pp, cp, layers = parallel.tp, parallel.pp, parallel.cp, config.num_hidden_layers
    weights = FLOAT * config.num_parameters / (tp * pp)
    shards = parallel.dp_shard * cp
    stream = FLOAT * rows * length / cp * config.hidden_size
    keys = 2 * FLOAT * rows * length * config.num_key_value_heads * config.head_dim / tp
    each = 3 * _fraction_sent(shards) * weights  # for a micro-batch
    each += 2 * _fraction_sent(tp) * stream * (4 * layers / pp + 2 / pp)
    each += 2 * stream / tp * (pp - 1) / pp
    each += 2 * _fraction_sent(cp) * keys * layers / pp
    return micro_batches * each + 2 * _fraction_sent(parallel.dp_replicate) * weights / shards


def _fraction_sent(processes: int) -> float:
    """Of what is gathered or summed over so many, what each sends."""
    return (processes - 1) / processes
