"""Which files a path names, in a fixed order, and how each is to be read.

A path is a file, a folder (walked recursively) or a pattern (`crawl/**/*.warc.gz`). Hidden files and folders are
skipped. What can't be read is found too, with the rule by which it is skipped.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from groundup.corpus.sources.kinds import LOOKED_AT, format_of, recognised
from groundup.corpus.sources.streams import open_stream
from groundup.corpus.sources.unreadable import UnreadableError
from groundup.errors import GroundupError

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Found:
    """One file of the walk."""

    path: Path
    relative: str  # to the folder that is walked, with `/`
    format: str  # of `FORMATS`, or `wikipedia`; empty for one that is skipped
    skipped: str = ""  # the rule


def locate(path: Path, base: Path) -> Path:
    """`path` from `base`; what it names, or the folder that its pattern is looked for in, must exist.

    Raises:
        GroundupError: it does not.
    """
    full = base / path.expanduser()
    if not full.exists() and not (_MAGIC.search(str(path)) and _split(full)[0].is_dir()):
        raise GroundupError("no such file or folder", where=str(path), do=f"correct the path; it starts at {base}")
    return full


def walk(root: Path, format: str | None = None) -> Iterator[Found]:
    """Every file that `root` names, sorted by name.

    Args:
        root: a file, a folder, or a pattern.
        format: how all files are read, whatever they are called.

    Raises:
        GroundupError: the pattern is none.
    """
    if root.is_dir():
        yield from _folder(root, format)
    elif root.exists() or not _MAGIC.search(str(root)):
        yield _found(root, root.name, format)
    else:
        folder, pattern = _split(root)
        try:
            matches = sorted(folder.glob(pattern), key=lambda path: path.relative_to(folder).as_posix())
        except (ValueError, NotImplementedError) as error:
            raise GroundupError(
                f"is no pattern ({error})", where=pattern, do="write `**/` for folders at any depth"
            ) from error
        for path in matches:
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and not path.is_dir():
                yield _found(path, _printable(path.relative_to(folder)), format)


def _split(path: Path) -> tuple[Path, str]:
    """The folder above the first part with a wildcard, and the pattern below it; an existing `[2024]` is a folder."""
    folder, parts = Path(), path.parts
    for at, part in enumerate(parts):
        if _MAGIC.search(part) and not (folder / part).is_dir():
            return folder, "/".join(parts[at:])
        folder /= part
    return folder, ""


def _folder(root: Path, format: str | None) -> Iterator[Found]:
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *folders]):
            path = Path(folder, name)
            if name.startswith(".") or (name in folders and not path.is_symlink()):
                continue
            relative = _printable(path.relative_to(root))
            yield Found(path, relative, "", "linked-folder") if name in folders else _found(path, relative, format)
    for error in closed:
        path = Path(error.filename)
        yield Found(path, _printable(path.relative_to(root)), "", "unreadable")


def _printable(path: Path) -> str:
    """A name that is not UTF-8 could not be written down."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _found(path: Path, relative: str, format: str | None) -> Found:
    by_name = format or format_of(path.name)[0]
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return Found(path, relative, "", "not-a-file")
        if not by_name:
            with open_stream(path) as stream:
                by_name = recognised(stream.read(LOOKED_AT), path.name)
    except (OSError, UnreadableError):
        # A broken link, a file of someone else's: reading it gives the reason.
        return Found(path, relative, by_name or "text")
    return Found(path, relative, by_name) if by_name else Found(path, relative, "", "unsupported-type")
