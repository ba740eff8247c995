"""Each package's public names: there at once, imported on first use, documented with an example that runs."""

import ast
import doctest
import importlib
import inspect
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import groundup

SOURCE = Path(groundup.__file__).parent
FACES = sorted(
    ".".join(("groundup", *path.parent.relative_to(SOURCE).parts))
    for path in SOURCE.rglob("__init__.py")
    if "exports(" in path.read_text(encoding="utf-8")
)
each_face = pytest.mark.parametrize("name", FACES)


def test_there_are_faces() -> None:
    assert "groundup.tokenizer" in FACES


@each_face
def test_importing_a_package_imports_no_heavy_library(name: str) -> None:
    code = f"import sys, {name}; sys.exit(', '.join({{'torch', 'numba', 'pyarrow', 'daft'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name} imports {done.stderr.strip()}"


@each_face
def test_every_public_name_is_there_typed_and_listed(name: str) -> None:
    """`__all__`, `dir()`, what type checkers read and what is imported are the same names."""
    package = importlib.import_module(name)
    typed = _imported_for_types(Path(str(package.__file__)))
    assert sorted(package.__all__) == sorted(typed), "the imports under TYPE_CHECKING differ from __all__"
    assert set(package.__all__) <= set(dir(package))
    for public in package.__all__:
        found = getattr(package, public)
        assert typed[public] in (f"{getattr(found, '__module__', None)}:{public}", getattr(found, "__name__", None))
        assert isinstance(found, ModuleType) or importlib.util.find_spec(f"{name}.{public}") is None, (
            f"importing the module {name}.{public} would replace the public name"
        )
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


@each_face
def test_help_is_a_page_of_a_manual(name: str) -> None:
    """A heading, an example, and every public name."""
    package = importlib.import_module(name)
    page = pydoc.plain(pydoc.render_doc(package))
    assert all(public in page for public in package.__all__)
    assert ">>> " in (package.__doc__ or ""), f"{name} shows no example"


@each_face
def test_the_examples_run(name: str) -> None:
    """Every public function and class shows how it is called, and what comes out."""
    package = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for label, documented in _documented(package):
        examples = [one for test in finder.find(documented, label, globs={}) for one in test.examples]
        assert examples, f"{label} shows no example"
    for label, documented in _documented(package):
        for test in doctest.DocTestFinder().find(documented, label, globs=dict(vars(package))):
            assert runner.run(test).failed == 0, f"the example of {label} differs"


def _documented(package: ModuleType) -> Iterator[tuple[str, Any]]:
    """The package itself, and its public functions and classes."""
    yield package.__name__, package
    for public in package.__all__:
        found = getattr(package, public)
        if inspect.isfunction(found) or inspect.isclass(found):
            yield f"{package.__name__}.{public}", found


def _imported_for_types(path: Path) -> dict[str, str]:
    """What a package imports under TYPE_CHECKING: `module:name` for each name, a module's own name for a module."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                for alias in line.names:
                    whole = f"{line.module}.{alias.name}"
                    found[alias.name] = whole if _is_module(whole) else f"{line.module}:{alias.name}"
    return found


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
