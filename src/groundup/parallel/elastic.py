"""Several processes on this machine, started and watched by torch elastic.

Each gets torchrun's variables in its environment. When one of them fails or is killed, elastic ends the others; whether
all are started again is the caller's decision, which elastic's own `max_restarts` leaves no room for: it would try
again after a mistake in the blueprint too, and counts over the whole job however far it got in between.

The processes are forked from a server that has imported what they need and has no threads, so that starting them, again
too, takes a fraction of a second; it never touches a GPU. They stay in this process's group: who kills that ends all.
"""

import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.2
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # for which elastic installs handlers


class RankFailedError(Exception):
    """A rank ended otherwise than by returning.

    Attributes:
        rank: the one whose end was seen first; the others have been ended because of it.
        exit_code: of that rank's process; the negative number of a signal if one ended it.
    """

    def __init__(self, rank: int, exit_code: int) -> None:
        super().__init__(f"rank {rank} ended with {exit_code}")
        self.rank, self.exit_code = rank, exit_code


def run_ranks(
    function: Callable[..., Any], arguments: Sequence[Any], processes: int, preload: Sequence[str] = ()
) -> dict[int, Any]:
    """Call `function(*arguments)` once in each of `processes` new processes; returns what each returned, by rank.

    Args:
        function: of a module, by name; like the arguments it goes to the processes as a pickle.
        preload: modules to import before the processes are made.

    Raises:
        RankFailedError: a rank failed or was killed; the others have been ended.
        KeyboardInterrupt: SIGINT or SIGTERM came; it was passed on, and the ranks have ended.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if os.path.exists("/sys/class/net/lo") else "lo0")  # noqa: PTH110
    multiprocessing.set_forkserver_preload([*preload, function.__module__])
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{LOOPBACK}:0",
        rdzv_configs={"is_host": True},
        local_addr=LOOPBACK,
        max_restarts=0,
        monitor_interval=POLL_SECONDS,
        start_method="forkserver",
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),  # each rank keeps a log of its own
    )
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    try:
        return dict(elastic_launch(config, function)(*arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise RankFailedError(int(rank), failure.exitcode) from error
    except SignalException as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def end_at_sigterm() -> None:
    """In a rank, first of all: SIGTERM, which elastic sends when another rank has failed, ends this one at once.

    The main thread may be waiting for the failed one inside a collective, where no Python code runs, so the signal is
    kept from it and taken by a thread that waits for nothing else.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="end at SIGTERM", daemon=True).start()
