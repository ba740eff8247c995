"""Docstrings of packages, read without running them: what the package's own import shows is the oracle."""

import inspect
from pathlib import Path

import pytest
import rich.console
import safetensors.numpy

from groundup.corpus.documents import Document
from groundup.corpus.sources.python_docs.packages import SourceTree, distribution, licence_of, package_documents
from groundup.corpus.sources.python_docs.reader import symbol_document
from groundup.errors import GroundupError
from groundup.progress import Silent

FILES = {
    "pkg/__init__.py": '"""The package."""\nfrom pkg._core import shown, _hidden\nfrom .sub import *\nversion = "1"\n',
    "pkg/_core.py": (
        'def shown(a, *p, key: int = 1, **kw) -> int:\n    """Show it.\n\n    More.\n    """\n'
        'def unshown():\n    """Never offered."""\n'
        'def _hidden():\n    """Private."""\n'
    ),
    "pkg/sub.py": (
        '__all__ = ["Thing"]\n'
        'class Thing:\n    """A thing."""\n'
        "    def __init__(self, size=3): ...\n"
        '    def grow(self, by, /, *, fast=False):\n        """Grow it."""\n'
        '    @staticmethod\n    def make(x):\n        """Make one."""\n'
        '    @classmethod\n    def of(cls, y=(1, 2)):\n        """One of y."""\n'
        '    @property\n    def area(self):\n        """Its area."""\n'
        '    @area.setter\n    def area(self, value):\n        """Set it."""\n'
        '    def _private(self):\n        """Private."""\n'
        "    def silent(self): ...\n"
        'def unlisted():\n    """Not in __all__."""\n'
    ),
    "pkg/cycle.py": "from pkg.cycle import nothing\nfrom pkg.cycle import *\n",
    "pkg/broken.py": "def f(:\n",
}


def test_the_public_names_of_a_tree(tmp_path: Path) -> None:
    files = {}
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        files[name.removesuffix(".py").replace("/__init__", "").replace("/", ".")] = path
    tree = SourceTree(files)
    assert list(tree.walk()) == ["pkg", "pkg.sub", "pkg.cycle", "pkg.broken"]
    assert {symbol.name: (symbol.doc, symbol.signature, symbol.parameters) for symbol in tree.symbols()} == {
        "pkg": ("The package.", None, None),
        "pkg.Thing": ("A thing.", "(size=3)", ["size"]),
        "pkg.Thing.area": ("Its area.", None, None),
        "pkg.Thing.grow": ("Grow it.", "(by, /, *, fast=False)", ["by", "fast"]),
        "pkg.Thing.make": ("Make one.", "(x)", ["x"]),
        "pkg.Thing.of": ("One of y.", "(y=(1, 2))", ["y"]),
        "pkg.shown": ("Show it.\n\nMore.", "(a, *p, key=1, **kw)", ["a", "*p", "key", "**kw"]),
    }
    assert list(tree.broken) == ["pkg.broken"]


def test_installed_packages_say_what_their_import_shows() -> None:
    documents = {
        one.origin: one
        for package in ("rich", "safetensors")
        for one in package_documents(package, "docs", symbol_document, Silent())
        if isinstance(one, Document)
    }
    for name, imported in {
        "rich.console.Console.print": rich.console.Console.print,
        "rich.console.Console": rich.console.Console,
        "safetensors.numpy.load_file": safetensors.numpy.load_file,
    }.items():
        doc = inspect.getdoc(imported)
        assert doc is not None
        assert documents[name].text.endswith(doc[-60:].strip())
        parameters = [p for p in inspect.signature(imported).parameters if p != "self"]
        answers = {fact.aspect: fact.answer for fact in documents[name].facts}
        assert answers["parameters"].replace("*", "").split(", ") == parameters
        assert doc.startswith(answers["summary"].split(".")[0])
    assert documents["rich (description)"].text
    assert documents["rich.console.Console"].licence == licence_of(distribution("rich")) == "MIT"
    assert not any("._" in origin for origin in documents)


def test_a_missing_package_is_an_error() -> None:
    with pytest.raises(GroundupError, match=r"'no-such-package' is not installed; install it or take"):
        list(package_documents("no-such-package", "docs", symbol_document, Silent()))
