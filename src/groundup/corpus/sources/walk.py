"""Which files a path names, in a fixed order, and how each is to be read.

A path is a file, a folder (walked recursively) or a pattern (`crawl/**/*.warc.gz`). Hidden files and folders are
skipped. What can't be read is found too, with the rule by which it is skipped; so are links that lead out of the folder
(of a pattern: the folder above its first wildcard), unless they are to be followed.
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


def walk(root: Path, format: str | None = None, follow_links: bool = False) -> Iterator[Found]:
    """Every file that `root` names, sorted by name.

    Args:
        root: a file, a folder, or a pattern.
        format: how all files are read, whatever they are called.
        follow_links: also to files outside, and to folders, each of which is read once.

    Raises:
        GroundupError: the pattern is none.
    """
    if root.is_dir():
        yield from _folder(root, format, follow_links)
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
                relative = _printable(path.relative_to(folder))
                is_ours = follow_links or _is_within(path, folder)
                yield _found(path, relative, format) if is_ours else Found(path, relative, "", "outside-link")


def _split(path: Path) -> tuple[Path, str]:
    """The folder above the first part with a wildcard, and the pattern below it; an existing `[2024]` is a folder."""
    folder, parts = Path(), path.parts
    for at, part in enumerate(parts):
        if _MAGIC.search(part) and not (folder / part).is_dir():
            return folder, "/".join(parts[at:])
        folder /= part
    return folder, ""


def _folder(root: Path, format: str | None, follow_links: bool) -> Iterator[Found]:
    closed: list[OSError] = []
    visited = {_identity(root)}
    for folder, folders, names in os.walk(root, onerror=closed.append, followlinks=follow_links):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked = {name for name in folders if Path(folder, name).is_symlink()}
        if follow_links:
            linked = {name for name in folders if _is_again(Path(folder, name), visited)}
            folders[:] = [name for name in folders if name not in linked]
        for name in sorted([*names, *linked]):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            relative = _printable(path.relative_to(root))
            if name in linked:
                yield Found(path, relative, "", "linked-folder")
            elif not follow_links and path.is_symlink() and not _is_within(path, root):
                yield Found(path, relative, "", "outside-link")
            else:
                yield _found(path, relative, format)
    for error in closed:
        path = Path(error.filename)
        yield Found(path, _printable(path.relative_to(root)), "", "unreadable")


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path leads to something in the folder, all links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _is_again(folder: Path, visited: set[tuple[int, int]]) -> bool:
    """Whether the folder is one of those visited, to which it is added."""
    before = len(visited)
    visited.add(_identity(folder))
    return len(visited) == before


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


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
