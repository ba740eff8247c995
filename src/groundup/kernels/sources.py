"""The files that a kernel's machine code depends on, and their digest.

A kernel is compiled together with the helpers that it calls and the constants that it reads, wherever these are
defined. All of them reach its module by imports, so the module's imports within the package are followed, and theirs:

    filters/statistics.py -> filters/scan.py, filters/columns.py, kernels/bits.py, ... -> ...

Imports are found by a pattern rather than by a parser, which would cost a tenth of a second at every start. Only those
at the beginning of a line count: what a function imports when it is called is not there when a kernel is compiled.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(rb"^(?:from +(\S+) +import +(\([^)]*\)|.*)|import +(.*))", re.MULTILINE)
_COMMENT = re.compile(rb"#.*")
_ALIAS = re.compile(rb"\s+as\s+\w+")


@lru_cache
def source_digest(path: Path, package: Path = PACKAGE) -> str:
    """SHA-256 over the file at `path` and all files of `package` that it imports, directly or through others."""
    digest = hashlib.sha256()
    for file in sorted({path, *dependencies(path, package)}):
        digest.update(hashlib.sha256(_content(file)).digest())
    return digest.hexdigest()


def dependencies(path: Path, package: Path = PACKAGE) -> set[Path]:
    """The files of `package` that the file at `path` imports, directly or through others."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        new = _imported(waiting.pop(), package) - found
        found |= new
        waiting += new
    return found


@lru_cache
def _imported(path: Path, package: Path) -> frozenset[Path]:
    """The files of `package` that the file at `path` itself names in imports."""
    files = set()
    for module, names, modules in _IMPORT.findall(_content(path)):
        listed = _ALIAS.sub(b"", _COMMENT.sub(b"", names or modules)).strip(b"()\\ \r")
        for name in filter(None, (name.strip() for name in listed.split(b","))):
            file = _file_of(b".".join(filter(None, (module, name))).decode(), package)
            if file is not None:
                files.add(file)
    return frozenset(files)


def _file_of(name: str, package: Path) -> Path | None:
    """The file of the module `name`, or of the module in which it is a value; None outside of `package`."""
    parts = name.split(".")
    if parts[0] != package.name:
        return None
    for length in (len(parts), len(parts) - 1):
        at = package.joinpath(*parts[1:length])
        for file in (at.with_suffix(".py"), at / "__init__.py"):
            if file.is_file():
                return file
    return None


@lru_cache
def _content(path: Path) -> bytes:
    return path.read_bytes()
