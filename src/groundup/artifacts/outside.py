"""Digests of what lies outside the run folder, fast enough to be asked for at every start.

A file's SHA-256 is remembered with its size and its time of change, so that a second run reads nothing. A file that
changed in the last two seconds is not remembered: the clock of a file system is too coarse to see it change again.
"""

import time
from contextlib import suppress
from pathlib import Path

from groundup.artifacts.durable import sha256_of
from groundup.artifacts.json_files import read_sealed, write_sealed
from groundup.errors import GroundupError

FORMAT = "groundup digests 1"
CACHE = "sha256.json"
COARSEST_CLOCK = 2_000_000_000  # nanoseconds; FAT's


class Digests:
    """SHA-256 of files, remembered in one JSON file."""

    def __init__(self, cache: Path) -> None:
        """`cache`: a folder that may be removed at any time; it is made when there is something to remember."""
        self._file = cache / CACHE
        self._known: dict[str, list[int | str]] = {}
        with suppress(GroundupError):  # none yet, or damaged: everything is read again
            self._known = read_sealed(self._file, FORMAT, "remove it")["files"]
        self._grown = False

    def of_file(self, path: Path) -> str:
        """Hex SHA-256 of a file's bytes.

        Raises:
            GroundupError: the file can't be read.
        """
        try:
            state = path.stat()
            stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
            known = self._known.get(str(path.absolute()))
            if known is not None and known[:-1] == stamp:
                return str(known[-1])
            digest = sha256_of(path)
        except OSError as error:
            raise GroundupError(f"can't be read ({error.strerror})", where=str(path), do="check the path") from error
        if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > COARSEST_CLOCK:
            self._known[str(path.absolute())] = [*stamp, digest]
            self._grown = True
        return digest

    def save(self) -> None:
        """Write down what was read. Where that fails, the next start is slower, nothing else."""
        if self._grown:
            with suppress(OSError):
                self._file.parent.mkdir(exist_ok=True)  # nothing is made before the first run
                write_sealed(self._file, FORMAT, {"files": self._known})
            self._grown = False


def data_file(config: object, base: Path, cache: Path) -> dict[str, str]:
    """The digests of the file that a section's `data` names, for stages that read the user's own examples, and of the
    Python file of its `verifier`."""
    data: Path | None = getattr(config, "data", None)
    if data is None:
        return {}
    digests = Digests(cache)
    found = {"data": digests.of_file(base / data.expanduser())}
    code, colon, _ = getattr(config, "verifier", "").rpartition(":")
    if colon and code.endswith(".py"):
        found["verifier"] = digests.of_file(base / Path(code).expanduser())
    digests.save()
    return found
