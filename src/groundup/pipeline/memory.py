"""The most memory that a stage's process held, with all the processes that it started."""

import os
import resource
import sys
import threading
from pathlib import Path

EVERY = 0.5  # seconds between looks at the helpers


class PeakMemory:
    """Watches this process and the rest of its process group from a thread.

    The process's own peak is the kernel's and exact. Helpers (pool workers) are looked at twice a second; pages that
    are shared are counted once.
    """

    def __init__(self) -> None:
        self._with_helpers = 0
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def bytes(self) -> int:
        """The peak until now."""
        return max(_own_peak(), self._with_helpers)

    def _watch(self) -> None:
        if not Path("/proc/self/smaps_rollup").is_file():  # not Linux: helpers go uncounted
            return
        wake = threading.Event()
        while not wake.wait(EVERY):
            group = _group(os.getpgrp())
            if len(group) > 1:
                self._with_helpers = max(self._with_helpers, sum(map(_proportional_bytes, group)))


def _own_peak() -> int:
    try:
        # Not getrusage: its figure is inherited from the process that started this one.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _group(leader: int) -> list[int]:
    """Ids of the processes in a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(after_name[2]) == leader:
                found.append(int(entry.name))
    return found


def _proportional_bytes(process: int) -> int:
    """Resident bytes of a process, pages shared by n processes counted as 1/n."""
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # it has just ended
        pass
    return 0
