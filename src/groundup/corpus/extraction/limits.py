"""How a process that works on bytes from outside limits itself, for each document."""

import os
from signal import ITIMER_PROF, setitimer

READY = b"+"  # what it writes first
OUT_OF_MEMORY = 77  # its exit status


def limit_time(seconds: float) -> None:
    """From now on this process may use so much processor time, then SIGPROF ends it; 0: as much as it likes."""
    setitimer(ITIMER_PROF, seconds)


def unlimited_memory() -> None:
    """From now on this process may take all address space again that it had to begin with."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def limit_memory(megabytes: int) -> None:
    """From now on this process may take so much more address space; where the system reports how much it has."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return  # not Linux: address space means little there, and the limits on sizes must do
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
