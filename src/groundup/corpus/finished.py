"""Which partitions of a phase are done, so that a killed run resumes with the others.

    keep/read/part-00007/          a finished partition: its files and
    keep/read/part-00007/finished.json    its figures, and the SHA-256 of every file

A partition is made in a temporary folder that is renamed when it is complete. Before a finished one is used again its
files are compared with their digests: one that a crash of the machine or a full disk left damaged is rebuilt.
"""

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from groundup.artifacts import durable
from groundup.artifacts.work import Figures

_RECORD = "finished.json"
_ASIDE = ".making-"


def part_folder(folder: Path, number: int) -> Path:
    """The folder of a phase's partition, counted from 0."""
    return folder / f"part-{number:05}"


def run_or_reuse(folder: Path, number: int, make: Callable[[Path], Figures]) -> Figures:
    """The figures of a finished partition, which is made if it is not there yet or not whole.

    Args:
        folder: the phase's.
        number: the partition's.
        make: writes the partition's files into the new folder that it is given; returns JSON-ready figures.
    """
    final = part_folder(folder, number)
    known = _whole(final)
    if known is not None:
        return known
    aside = folder / f"{_ASIDE}{number:05}-{secrets.token_hex(4)}"
    aside.mkdir(parents=True)
    try:
        figures = make(aside)
        digests = {path.name: durable.sha256_of(path) for path in sorted(aside.iterdir())}
        record = json.dumps({"figures": figures, "files": digests}, allow_nan=False)
        (aside / _RECORD).write_text(record, encoding="utf-8")
        durable.remove(final)
        aside.rename(final)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    # What comes out of a first and of a later run is the same: figures that went through JSON.
    return json.loads(record)["figures"]


def finished_parts(keep: Path) -> int:
    """How many partitions are finished in all phases below a folder; their digests are not compared."""
    return sum(1 for _ in keep.glob(f"*/part-*/{_RECORD}"))


def sweep(folder: Path) -> None:
    """Remove what kills left half made. Only for the process that starts the phase, before its workers."""
    for path in folder.glob(f"{_ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def _whole(final: Path) -> Figures | None:
    """The figures of a finished partition whose files are as they were made."""
    try:
        record = json.loads((final / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    there = sorted(path.name for path in final.iterdir() if path.name != _RECORD)
    if there != sorted(record["files"]):
        return None
    if any(durable.sha256_of(final / name) != digest for name, digest in record["files"].items()):
        return None
    return record["figures"]
