"""A kernel's digest is over the files that its machine code can depend on: all of them, and no others."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.kernels import sources
from groundup.kernels.sources import PACKAGE, dependencies, source_digest

KERNEL = re.compile(r"^@(?:lean_)?kernel\b", re.MULTILINE)
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if KERNEL.search(path.read_text(encoding="utf-8")))

LOADED = """
import json, os, sys
import numba, numpy, pyarrow  # once, for all children
from importlib import import_module
from types import ModuleType
for name, packages in json.load(sys.stdin):
    if not os.fork():
        for package, folder in packages.items():
            sys.modules[package] = ModuleType(package)
            sys.modules[package].__path__ = [folder]
        import_module(name)
        own = [module for key, module in sys.modules.items() if key.startswith("groundup.")]
        print(json.dumps([name, [module.__file__ for module in own if hasattr(module, "__file__")]]), flush=True)
        os._exit(0)
    os.wait()
"""


def _forget() -> None:
    for function in (source_digest, sources._imported, sources._content):
        function.cache_clear()


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="modules are imported in forks")
def test_the_files_are_those_that_an_import_of_the_module_loads() -> None:
    """Imports are found by a pattern; what Python itself loads for the module is the truth. The `__init__.py` of a
    package is empty here where nothing is imported from it: what it loads for others reaches no kernel."""
    asked = []
    for path in MODULES:
        unused = set(PACKAGE.rglob("__init__.py")) - dependencies(path)
        asked.append((_name(path), {_name(file.parent): str(file.parent) for file in unused}))
    done = subprocess.run(
        [sys.executable, "-c", LOADED], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    loaded = {name: set(map(Path, files)) for name, files in map(json.loads, done.stdout.splitlines())}
    assert len(MODULES) > 15 and set(loaded) == set(map(_name, MODULES))
    assert {path: loaded[_name(path)] - {path} for path in MODULES} == {
        path: dependencies(path) - {path} for path in MODULES
    }


def test_an_edit_of_any_dependency_changes_the_digest(tmp_path: Path) -> None:
    package = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for original in MODULES:
        path = package / original.relative_to(PACKAGE)
        _forget()
        before = source_digest(path, package)
        needed = dependencies(path, package) | {path}
        for file in needed:
            content = file.read_bytes()
            file.write_bytes(content + b"# edited\n")
            _forget()
            assert source_digest(path, package) != before, f"{path} does not see {file}"
            file.write_bytes(content)
        other = package / "errors.py" if package / "errors.py" not in needed else package / "cli" / "main.py"
        other.write_bytes(other.read_bytes() + b"# edited\n")
        _forget()
        assert source_digest(path, package) == before, f"{path} depends on {other}"
    _forget()


def test_columns_of_the_statistics_are_seen() -> None:
    """Two columns that change their order while `statistics.py` itself does not would be swapped silently."""
    filters = PACKAGE / "corpus" / "filters"
    assert {filters / "columns.py", filters / "scan.py", PACKAGE / "kernels" / "bits.py"} <= dependencies(
        filters / "statistics.py"
    )


def test_every_spelling_of_an_import_is_followed(tmp_path: Path) -> None:
    package = tmp_path / "groundup"
    (package / "room").mkdir(parents=True)
    for name in ("room/__init__", "room/a", "room/b", "room/c", "room/d", "room/late", "other"):
        (package / f"{name}.py").write_text("")
    (package / "room" / "start.py").write_text(
        "import groundup.room.a\n"
        "from groundup.room import b as bee, value\n"
        "from groundup.room.c import (\n    one,  # from groundup.other\n    two,\n)\n"
        "import numpy, groundup.room.d as dee\n"
        "def later():\n    from groundup.room import late\n"
    )
    found = dependencies(package / "room" / "start.py", package)
    assert {path.name for path in found} == {"__init__.py", "a.py", "b.py", "c.py", "d.py"}
