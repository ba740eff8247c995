"""Cores and memory are those that affinity, quota and limits leave, read from control groups of either version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.machine import available_memory, multiplies_bf16, threads, total_memory, usable_cores

GIB = 1 << 30


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        (  # a group inside another: the tighter limit counts, wherever it is
            {
                "proc/self/cgroup": "0::/jobs/one\n",
                "sys/fs/cgroup/jobs/one/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/jobs/cpu.max": "400000 100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "12:memory:/a\n4:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (  # version 1 in a container: the path is the host's, the files are at the root
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123abcd\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "500000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
    ],
)
def test_cores_are_those_of_affinity_and_quota(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert usable_cores(_tree(tmp_path, files)) == cores


def test_affinity_counts_where_it_is_tighter_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    root = _tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "800000 100000\n"})
    assert usable_cores(root) == 2


def test_without_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores(tmp_path) == 7


MEMINFO = {"proc/meminfo": f"MemTotal: {32 * GIB >> 10} kB\nMemFree: 5 kB\nMemAvailable: {20 * GIB >> 10} kB\n"}


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDUP_THREADS", raising=False)
    assert threads() == usable_cores()
    monkeypatch.setenv("GROUNDUP_THREADS", "3")
    assert threads() == 3
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("GROUNDUP_THREADS", wrong)
        with pytest.raises(GroundupError, match="GROUNDUP_THREADS is no number of threads"):
            threads()


def test_memory_of_a_machine_without_limits(tmp_path: Path) -> None:
    root = _tree(tmp_path, MEMINFO | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"})
    assert (total_memory(root), available_memory(root)) == (32 * GIB, 20 * GIB)


def test_memory_of_a_group_of_version_2(tmp_path: Path) -> None:
    """File cache that can be dropped is free memory."""
    group = "sys/fs/cgroup/job"
    root = _tree(
        tmp_path,
        MEMINFO
        | {
            "proc/self/cgroup": "0::/job\n",
            f"{group}/memory.max": f"{8 * GIB}\n",
            f"{group}/memory.current": f"{5 * GIB}\n",
            f"{group}/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
        },
    )
    assert (total_memory(root), available_memory(root)) == (8 * GIB, 5 * GIB)


def test_memory_of_a_group_of_version_1(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "9:memory:/docker/12\n1:cpu:/\n",
        f"{group}/memory.limit_in_bytes": f"{4 * GIB}\n",
        f"{group}/memory.usage_in_bytes": f"{3 * GIB}\n",
    }
    root = _tree(tmp_path, MEMINFO | files)
    assert (total_memory(root), available_memory(root)) == (4 * GIB, GIB)
    unlimited = _tree(tmp_path, {f"{group}/memory.limit_in_bytes": "9223372036854771712\n"})
    assert (total_memory(unlimited), available_memory(unlimited)) == (32 * GIB, 20 * GIB)


def test_memory_is_unknown_where_no_file_has_it(tmp_path: Path) -> None:
    assert total_memory(tmp_path) is None and available_memory(tmp_path) is None


@pytest.mark.parametrize(("flags", "has"), [("avx2 avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx2", False)])
def test_bf16_is_read_from_the_processors_flags(tmp_path: Path, flags: str, has: bool) -> None:
    assert multiplies_bf16(_tree(tmp_path, {"proc/cpuinfo": f"flags\t: {flags}\n"})) == has
    assert not multiplies_bf16(tmp_path / "elsewhere")


def test_this_machine_answers_at_once() -> None:
    """Without any library: `plan` and `doctor` ask too."""
    code = (
        "import sys; from groundup.machine import usable_cores, available_memory, total_memory\n"
        "assert usable_cores() >= 1 and (available_memory() or 1) <= (total_memory() or 1e99)\n"
        "assert not {'torch', 'numpy', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
