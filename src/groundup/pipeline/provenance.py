"""Where and with what an artifact was made."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import groundup
from groundup.machine import usable_cores

PACKAGES = ("torch", "numpy", "numba", "pyarrow")


def provenance() -> dict[str, Any]:
    """Versions, machine, threads and device of this process, as JSON-ready values.

    torch is asked only where the stage imported it.
    """
    return {
        "groundup": groundup.__version__,
        "python": platform.python_version(),
        **{name: version for name in PACKAGES if (version := _version(name))},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "threads": threads(),
        "device": device(),
    }


def threads() -> int:
    """Threads that tensor operations use here; results are the same bit for bit only at the same number."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return usable_cores()


def device() -> str:
    """The device that torch has used in this process, by name; `cpu` where it has used no other."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "cpu"
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return f"cuda ({torch.cuda.get_device_name()})"
    if torch.backends.mps.is_available() and torch.mps.current_allocated_memory() > 0:
        return "mps"
    return "cpu"


def cpu_name() -> str:
    """The processor's model as it calls itself."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
