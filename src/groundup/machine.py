"""What this process may use of the machine: cores, memory, and whether the processor multiplies bf16.

A container or a batch system limits a process in three ways, and the smallest limit counts: by affinity (which cores),
by a quota of processor time, and by a limit of memory. Quota and memory are limits of a control group (cgroup) or of
any group above it, in files of version 2 (`cpu.max`, `memory.max`) or of version 1 (`cpu.cfs_quota_us`,
`memory.limit_in_bytes`). Inside a container the group's path may be that of the host, with the files of the
container's own group at the root: hence groups are looked for from the path up to the root, wherever there are files.

Every function takes the root of the file system, so that tests can give it another one.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from groundup.errors import GroundupError

ROOT = Path("/")
SPINS = "10000"  # turns in which an OpenMP thread waits for the next piece of work before it sleeps


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: by affinity, and by quota (a quota of one and a half cores makes two)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups(root, "cpu"):
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # `max` and -1 are no limit
            cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def threads() -> int:
    """Threads that a stage computes with: GROUNDUP_THREADS, or as many as there are usable cores.

    Raises:
        GroundupError: the environment variable is no positive number.
    """
    wanted = os.environ.get("GROUNDUP_THREADS", "")
    if not wanted:
        return usable_cores()
    if not wanted.isdecimal() or not int(wanted):
        raise GroundupError(f"GROUNDUP_THREADS is no number of threads: {wanted}", do="use 1 or more, or unset it")
    return int(wanted)


def short_waits(environment: Mapping[str, str]) -> dict[str, str]:
    """What an environment needs for OpenMP's threads not to spin for long; nothing where the user has set it.

    By default libgomp's threads spin for as long as they wait. Next to other work on the same cores, a decoding step's
    own threads for one, that takes most of the time; a limit costs nothing on an idle machine. libgomp reads it when
    torch is loaded.
    """
    return {} if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & environment.keys() else {"GOMP_SPINCOUNT": SPINS}


def total_memory(root: Path = ROOT) -> int | None:
    """Bytes of the machine's memory, or of the smallest limit on it; None where unknown."""
    known = [limit for limit, _ in _memory_limits(root)]
    if (total := _meminfo(root, "MemTotal")) is not None:
        known.append(total)
    return min(known, default=None)


def available_memory(root: Path = ROOT) -> int | None:
    """Bytes that a new process can have without swapping; None where unknown."""
    known = [max(0, limit - used) for limit, used in _memory_limits(root)]
    if (free := _meminfo(root, "MemAvailable")) is not None:
        known.append(free)
    return min(known, default=None)


def multiplies_bf16(root: Path = ROOT) -> bool:
    """Whether Linux lists a bf16 instruction for this processor (elsewhere unknown, hence False)."""
    flags = _text(root / "proc/cpuinfo")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def other_than_intel(root: Path = ROOT) -> bool:
    """Whether Linux lists AVX-512 for a processor that is not Intel's (elsewhere unknown, hence False): PyTorch's
    default library of float32 matmuls has AVX-512 code for Intel's alone."""
    listed = _text(root / "proc/cpuinfo")
    return "avx512f" in listed and "GenuineIntel" not in listed


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """`(limit, bytes in use)` of every control group that limits memory, apart from file cache that can be dropped."""
    for group in _groups(root, "memory"):
        limit, used = _text(group / "memory.max"), _text(group / "memory.current")
        if not limit:
            limit, used = _text(group / "memory.limit_in_bytes"), _text(group / "memory.usage_in_bytes")
        if limit.isdecimal():
            statistics = dict(line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line)
            cache = statistics.get("total_inactive_file", statistics.get("inactive_file", "0"))
            yield int(limit), max(0, int(used or 0) - int(cache))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, of both versions."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = mount / path.lstrip("/")
        while group != mount:
            yield group
            group = group.parent
        yield mount


def _meminfo(root: Path, name: str) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # not Linux, or no such limit
        return ""
