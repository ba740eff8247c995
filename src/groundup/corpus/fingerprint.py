"""What curation reads from outside, in one digest each, so that a second run knows at once that nothing has changed.

Installed documentation is known by the versions that made it. Files are known by the SHA-256 of their contents, and
one that has not changed since it was last hashed is not read again. Files that lie elsewhere are known by what their
store lists: names and sizes.
"""

import hashlib
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundup.artifacts.outside import Digests
from groundup.corpus.configuration import CurateConfig, Files, PythonDocs
from groundup.corpus.sources import pieces, source_names
from groundup.errors import GroundupError
from groundup.section import Section


def fingerprint(config: CurateConfig, base: Path, cache: Path) -> dict[str, str]:
    """`{"python-docs: python": "3.11.7 (linux)", "python-docs: numpy": "2.4.6", "guide": "<sha256>"}`.

    Besides the sources: the lists, models and evaluation sets that the configuration names, by their key in it:
    `{"quality.train.good.0": "<sha256>"}`.

    Args:
        config: the `curate:` section.
        base: relative paths start here.
        cache: a folder that may be removed at any time, where digests of files are remembered.

    Raises:
        GroundupError: a path or a package is missing, or an address does not answer.
    """
    digests = Digests(cache)
    found: dict[str, str] = {}
    for source, name in zip(config.sources, source_names(config.sources, base), strict=True):
        if isinstance(source, PythonDocs):
            found |= {f"{name}: {part}": version for part, version in _versions(source.packages).items()}
        elif isinstance(source, Files):
            found[name] = _digest_of(source.path, base, digests, source.format, source.follow_links)
        else:
            listed = "".join(f"{piece.relative}\0{piece.bytes}\n" for piece in pieces(source, name, base))
            found[name] = hashlib.sha256(listed.encode()).hexdigest()
    for name in type(config).model_fields:
        if name != "sources":
            for key, path in _paths(getattr(config, name), name):
                found[key] = _digest_of_all(path, base, digests)
    digests.save()
    return found


def _paths(value: object, key: str) -> Iterator[tuple[str, Path]]:
    """Every path in a section, with its key."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name), f"{key}.{name}")
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _paths(item, f"{key}.{number}")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    from groundup.corpus.sources.python_docs.packages import distribution

    found = {"python": f"{platform.python_version()} ({sys.platform})"}
    return found | {package: distribution(package).version for package in packages}


def _digest_of(path: Path, base: Path, digests: Digests, format: str | None, follow_links: bool) -> str:
    """SHA-256 over the path and contents of every file that is to be read, and the paths of those that are skipped."""
    from groundup.corpus.sources.walk import locate, walk

    whole = hashlib.sha256()
    for file in walk(locate(path, base), format, follow_links):
        contents = file.skipped
        if not contents:
            try:
                contents = digests.of_file(file.path)
            except GroundupError:
                contents = "unreadable"  # as curate will find: it lists such a file
        whole.update(f"{file.relative}\0{contents}\n".encode())
    return whole.hexdigest()


def _digest_of_all(path: Path, base: Path, digests: Digests) -> str:
    """SHA-256 of a file, or over the names and contents of all files below a folder.

    Raises:
        GroundupError: there is none, or one can't be read.
    """
    full = base / path.expanduser()
    if not full.is_dir():
        return digests.of_file(full)
    whole = hashlib.sha256()
    for file in sorted(file for file in full.rglob("*") if file.is_file()):
        whole.update(f"{file.relative_to(full).as_posix()}\0{digests.of_file(file)}\n".encode())
    return whole.hexdigest()
