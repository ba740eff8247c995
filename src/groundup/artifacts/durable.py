"""Writing so that a kill at any moment leaves either the old file or the new one, never half of it."""

import errno
import hashlib
import os
import shutil
from pathlib import Path

from groundup.errors import GroundupError

DOOMED = ".removed-"  # how the names of folders begin that are being removed


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Force every file below `folder`, and every folder, to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(Path(parent, name))
        sync(Path(parent))


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8) in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def publish(aside: Path, final: Path) -> None:
    """Rename the folder `aside` to `final`, which must not exist, after everything in it has reached the disk."""
    sync_tree(aside)
    aside.rename(final)
    sync(final.parent)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(folder: Path) -> None:
    """Remove a folder so that a kill half-way leaves no folder of that name."""
    if not folder.exists():
        return
    doomed = folder.with_name(f"{DOOMED}{folder.name}-{os.getpid()}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def disk_error(error: OSError, path: Path) -> GroundupError:
    """A full or read-only disk as a sentence; what was published stays whole, and the run resumes from there."""
    return GroundupError(
        f"can't write ({error.strerror or error})",
        where=str(path),
        do="make room or choose another folder with --run, then run the same command again: it resumes",
    )


def is_disk_error(error: BaseException) -> bool:
    """Whether the disk is at fault: full, over quota, read-only or broken.

    Libraries written in Rust and C++ report a full disk as an exception of their own, with the system's words in it.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        return True
    return os.strerror(errno.ENOSPC) in str(error)
