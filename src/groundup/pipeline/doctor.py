"""Whether this machine can run a blueprint: what `groundup doctor` checks."""

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from groundup.machine import available_memory, usable_cores
from groundup.pipeline.provenance import cpu_name

MIN_MEMORY = 4 << 30  # bytes that the default blueprint needs free
MIN_DISK = 2 << 30
OPTIONAL = {"serve": ("fastapi", "uvicorn")}  # extra -> modules


@dataclass(frozen=True)
class Check:
    """One thing checked: whether it is fit, what it is, and what to do if it is not."""

    ok: bool
    about: str
    what: str
    do: str = ""


def check_machine() -> Iterator[Check]:
    """All checks, the most basic first. Imports torch."""
    yield _python()
    yield from _torch()
    yield _memory()
    yield _disk(Path.cwd())
    for extra, modules in OPTIONAL.items():
        missing = [name for name in modules if find_spec(name) is None]
        what = f"{', '.join(missing)} not installed" if missing else "installed"
        yield Check(not missing, extra, what, f"pip install 'groundup[{extra}]'" if missing else "")


def _python() -> Check:
    fit = sys.version_info >= (3, 11)
    return Check(fit, "python", platform.python_version(), "" if fit else "use 3.11 or newer")


def _torch() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of its own is missing
        yield Check(False, "torch", f"can't be imported ({error})", "install torch>=2.10,<2.14")
        return
    from groundup.parallel.device import best_device, resolve_precision

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    number = tuple(int(part) for part in metadata.version("torch").split("+")[0].split(".")[:2])
    fit = (2, 10) <= number < (2, 14)
    yield Check(fit, "torch", f"{torch.__version__} ({build} build)", "" if fit else "install torch>=2.10,<2.14")
    yield Check(True, "threads", f"{usable_cores()} cores usable of {cpu_name()}")
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    unused = device.type == "cpu" and shutil.which("nvidia-smi") is not None
    yield Check(not unused, "device", name, "a GPU seems to be there: install a CUDA build of torch" if unused else "")
    yield Check(True, "precision", f"{resolve_precision('auto', device)} is the faster one here")


def _memory() -> Check:
    available = available_memory()
    if available is None:
        return Check(True, "memory", "can't be measured here")
    fit = available >= MIN_MEMORY
    return Check(
        fit,
        "memory",
        f"{available / 2**30:.1f} GiB free",
        "" if fit else "the default blueprint may need 4 GiB: close other programs or choose a smaller size",
    )


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    fit = free >= MIN_DISK
    return Check(
        fit,
        "disk",
        f"{free / 2**30:.1f} GiB free in {folder}",
        "" if fit else "a run of the default blueprint needs up to 2 GiB: make room or choose another disk with --run",
    )
