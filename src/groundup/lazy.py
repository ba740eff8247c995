"""Objects by name, imported when they are first used: a package can offer much and still be imported at once."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def load(name: str) -> Any:
    """The object that `package.module:attribute` names, or the module that `package.module` names."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)


def exports(package: str, names: dict[str, str]) -> tuple[Callable[[str], Any], Callable[[], Sequence[str]]]:
    """The `__getattr__` and `__dir__` of a package whose public names are imported on first use.

        if TYPE_CHECKING:
            from groundup.tokenizer.tokenizer import Tokenizer

        __all__ = ["Tokenizer"]
        __getattr__, __dir__ = exports(__name__, {"Tokenizer": "groundup.tokenizer.tokenizer:Tokenizer"})

    Type checkers read the imports under TYPE_CHECKING, `help()` reads `__all__`; tests/test_faces.py holds the three
    lists together. No public name but a subpackage's may be the name of one of the package's modules, because importing
    that module replaces it.

    Args:
        package: the package's `__name__`.
        names: what each public name is, as `load` takes it.
    """

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = load(names[name])
        setattr(sys.modules[package], name, found)
        return found

    def directory() -> Sequence[str]:
        return sorted(vars(sys.modules[package]).keys() | names.keys())

    return attribute, directory
