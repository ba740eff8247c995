"""What runs inside the sandbox: it shuts itself in, then executes the program that its standard input holds.

Alone on purpose: it is started with `python -I`, imports nothing of groundup, and what it can't shut out it refuses to
run. Exit status: 0 the program came to its end, 1 it did not, 77 this system can't shut it in (the reason on stderr).
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

UNAVAILABLE = 77
NEW_USER, NEW_PROCESSES, NEW_NETWORK, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 38, 1
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls of Landlock, the same on all architectures
READ = 0b1101  # execute, read files, list folders
ALL_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}  # rights that a version knows; later ones more


class LandlockRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def shut_in(libc: ctypes.CDLL, readable: list[str], folder: str) -> None:
    """No network, no other processes, no files but for reading `readable` and using `folder`.

    Raises:
        OSError: the kernel doesn't offer one of these.
    """

    def call(number: int, *arguments: object) -> int:
        result: int = libc.syscall(ctypes.c_long(number), *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    rights = ALL_BY_VERSION[min(version, 3)]
    handled = ctypes.c_uint64(rights)
    ruleset = call(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    for path, allowed in [(path, READ & rights) for path in readable] + [(folder, rights)]:
        if Path(path).is_dir():
            opened = os.open(path, os.O_PATH)
            call(
                ADD_RULE,
                ctypes.c_int(ruleset),
                ctypes.c_int(1),
                ctypes.byref(LandlockRule(allowed, opened)),
                ctypes.c_uint32(0),
            )
            os.close(opened)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def limit(memory: int, seconds: int, file_bytes: int) -> None:
    for which, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 32),  # which the kernel does not apply to root
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))


def main() -> int:
    given = json.load(sys.stdin)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_PROCESSES | NEW_NETWORK | NEW_IPC):
        print(f"namespaces: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return UNAVAILABLE
    child = os.fork()  # the first process of its namespace: when it dies, so do all that it has started
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    try:
        shut_in(libc, given["readable"], str(Path.cwd()))
    except (OSError, KeyError) as error:
        print(f"Landlock: {error}", file=sys.stderr)
        return UNAVAILABLE
    limit(given["memory"], given["seconds"], given["file_bytes"])
    try:
        exec(compile(given["program"], "answer.py", "exec"), {"__name__": "__main__"})
    except BaseException as error:  # SystemExit too: a program that leaves early has not come to its end
        print(f"{type(error).__name__}: {error}"[:2000], file=sys.stderr)
        return 1
    with Path("ended").open("w", encoding="utf-8") as file:  # which a program that ends its process can't have reached
        file.write(given["word"])
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status if status >= 0 else 1)
