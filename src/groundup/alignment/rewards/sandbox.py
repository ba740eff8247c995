"""Running a program that a model wrote, with limits.

In a process of its own, on Linux: no network and no sight of other processes (namespaces), no files but an empty folder
that is removed afterwards and Python's own, for reading (Landlock), and bounded time, memory and file size (rlimits).
Where the kernel does not offer one of these nothing is run.

What it is not: a boundary against an attacker. It shares the kernel, may use all of a core and, within its memory limit
per process, start processes until the time is over; a program that looks for it can read the word by which its end is
recognised, and pass tests that it fails. That is fit for a model that is trained here. For programs of others use a
virtual machine.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groundup.alignment.rewards import sandbox_child
from groundup.errors import GroundupError

FILE_BYTES = 16 << 20
SYSTEM = ("/usr", "/lib", "/lib64", "/bin")  # shared libraries and Python's own files


@dataclass(frozen=True)
class SandboxLimits:
    """What a program may use."""

    seconds: float = 5.0
    """Of wall-clock time; of processor time rounded up."""
    memory: int = 512 << 20
    """Bytes of address space, in each process."""


@dataclass(frozen=True)
class ProgramEnd:
    """How a program ended."""

    passed: bool
    """It came to its last line without an exception."""
    reason: str
    """Why it did not: the exception, or the limit."""


def run_program(program: str, limits: SandboxLimits | None = None) -> ProgramEnd:
    """Run Python source.

    Raises:
        GroundupError: this system can't shut a program in.
    """
    limits = limits or SandboxLimits()
    with tempfile.TemporaryDirectory(prefix="groundup-sandbox-", ignore_cleanup_errors=True) as name:
        folder, word = Path(name), secrets.token_hex(16)
        given = {
            "program": program,
            "word": word,
            "readable": sorted({*SYSTEM, sys.prefix, sys.base_prefix}),
            "memory": limits.memory,
            "seconds": max(1, int(limits.seconds + 0.999)),
            "file_bytes": FILE_BYTES,
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", sandbox_child.__file__],
            cwd=folder,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, said = process.communicate(json.dumps(given).encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return ProgramEnd(False, f"not done after {limits.seconds:g} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        reason = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if process.returncode == sandbox_child.UNAVAILABLE:
            raise GroundupError(
                f"this system can't shut programs in ({reason})",
                where="verifier tests",
                do="use Linux 5.13 or later with user namespaces, and allow them in the container",
            )
        ended = folder / "ended"
        came_to_end = process.returncode == 0 and ended.is_file() and ended.read_text(errors="replace") == word
        return ProgramEnd(came_to_end, "" if came_to_end else reason or "it ended its process")
