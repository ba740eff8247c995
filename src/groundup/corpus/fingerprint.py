"""What the sources hold, in one digest each, so that a second run knows at once that nothing has changed.

Installed documentation is known by the versions that made it. Files are known by the SHA-256 of their contents, and
one that has not changed since it was last hashed is not read again.
"""

import hashlib
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from groundup.artifacts.outside import Digests
from groundup.corpus.configuration import CurateConfig, PythonDocs
from groundup.corpus.sources import source_names
from groundup.errors import GroundupError


def fingerprint(config: CurateConfig, base: Path, cache: Path) -> dict[str, str]:
    """`{"python-docs: python": "3.11.7 (linux)", "python-docs: numpy": "2.4.6", "guide": "<sha256>"}`.

    Args:
        config: the `curate:` section.
        base: relative paths start here.
        cache: a folder that may be removed at any time, where digests of files are remembered.

    Raises:
        GroundupError: a path or a package is missing.
    """
    from groundup.corpus.sources.files import locate

    digests = Digests(cache)
    found: dict[str, str] = {}
    for source, name in zip(config.sources, source_names(config.sources, base), strict=True):
        if isinstance(source, PythonDocs):
            found |= {f"{name}: {part}": version for part, version in _versions(source.packages).items()}
        else:
            found[name] = _digest_of(locate(source.path, base), digests)
    digests.save()
    return found


def _versions(packages: Sequence[str]) -> dict[str, str]:
    from groundup.corpus.sources.packages import distribution

    found = {"python": f"{platform.python_version()} ({sys.platform})"}
    return found | {package: distribution(package).version for package in packages}


def _digest_of(root: Path, digests: Digests) -> str:
    """SHA-256 over the path and contents of every file that is to be read, and the paths of those left out."""
    from groundup.corpus.sources.files import walk

    whole = hashlib.sha256()
    for file in walk(root):
        contents = file.left_out
        if not contents:
            try:
                contents = digests.of_file(file.path)
            except GroundupError:
                contents = "unreadable"  # as curate will find: it lists such a file and goes on
        whole.update(f"{file.relative}\0{contents}\n".encode())
    return whole.hexdigest()
