"""Installed packages: docstrings of their public interface, read from source without importing it, and descriptions.

A package often defines in `_private` modules what its public ones offer (`numpy.average` is in
`numpy/lib/_function_base_impl.py`), so names are followed through `from ... import`; each symbol is listed once, under
its shortest public name.
"""

import ast
import importlib.metadata
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from groundup.corpus.clean import clean
from groundup.corpus.documents import Document, Dropped
from groundup.errors import GroundupError
from groundup.progress import Progress

SKIPPED_PARTS = frozenset({"test", "tests", "testing", "conftest", "__main__", "setup", "vendored"})
_LICENCE_CHARACTERS = 80  # longer ones are the licence's whole text
_BADGES = re.compile(
    r"^[ \t]*(?:(?:\[!\[[^\]]*\]\([^)]*\)\](?:\([^)]*\)|\[[^\]]*\])|!\[[^\]]*\]\([^)]*\))[ \t]*)+$", re.M
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

SymbolDocument = Callable[[str, str, str | None, list[str] | None, str, str], Document]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def distribution(name: str) -> importlib.metadata.Distribution:
    """The installed distribution called `name`.

    Raises:
        GroundupError: there is none.
    """
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise GroundupError(
            f"the package {name!r} is not installed",
            where="curate.sources: python-docs: packages",
            do=f"install it or take {name!r} out of the list",
        ) from error


def licence_of(found: importlib.metadata.Distribution) -> str:
    """The licence that a distribution names: its SPDX expression, its short name or its classifier."""
    expression = _field(found, "License-Expression") or _field(found, "License")
    if expression and len(expression) <= _LICENCE_CHARACTERS and "\n" not in expression:
        return expression
    classifiers = [line for line in found.metadata.get_all("Classifier") or [] if line.startswith("License :: ")]
    return classifiers[0].rsplit(" :: ", 1)[-1] if classifiers else expression.split("\n")[0][:_LICENCE_CHARACTERS]


def _field(found: importlib.metadata.Distribution, name: str) -> str:
    """A field of the distribution's metadata, empty where it has none. `Description` may also be the body."""
    return str(found.metadata[name] or "") if name in found.metadata else ""


def package_documents(
    name: str, source: str, symbol_document: SymbolDocument, progress: Progress
) -> Iterator[Document | Dropped]:
    """The long description of the distribution `name`, then its public symbols sorted by name."""
    found = distribution(name)
    licence = licence_of(found)
    text = clean(_COMMENT.sub("", _BADGES.sub("", _field(found, "Description"))))
    if text and text != "UNKNOWN":
        yield Document("", text, name, source, f"{name} (description)", licence)
    tree = SourceTree(_modules_of(found))
    with progress.task(f"reading the docstrings of {name}", len(tree.public), "modules") as task:
        for _ in tree.walk():
            task.advance()
    for broken, reason in sorted(tree.broken.items()):
        yield Dropped(source, broken, "bad-python", broken, excerpt=reason)
    symbols = tree.symbols()
    with progress.task(f"documents of {name}", len(symbols), "symbols") as task:
        for symbol in symbols:
            yield symbol_document(symbol.name, symbol.doc, symbol.signature, symbol.parameters, source, licence)
            task.advance()


def _modules_of(found: importlib.metadata.Distribution) -> dict[str, Path]:
    """Dotted name -> file of every Python module that a distribution installed, without tests."""
    modules: dict[str, Path] = {}
    for file in found.files or []:
        path = PurePath(file)
        parts = [*path.parts[:-1], path.stem]
        if path.suffix != ".py" or not all(part.isidentifier() for part in parts) or SKIPPED_PARTS & set(parts):
            continue
        if parts[-1] == "__init__":
            parts.pop()
        if parts:
            modules[".".join(parts)] = Path(str(found.locate_file(file)))
    return dict(sorted(modules.items()))


@dataclass(frozen=True)
class Symbol:
    name: str
    doc: str
    signature: str | None
    parameters: list[str] | None


@dataclass
class Module:
    """The top level of one source file. The syntax tree, much larger, is let go of."""

    doc: str | None
    is_package: bool
    listed: list[str] | None = None  # `__all__`, where it can be read without running anything
    definitions: dict[str, list[Symbol]] = field(default_factory=dict)  # with the methods that a class defines
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (module, name in it)
    stars: list[str] = field(default_factory=list)

    def offers(self) -> list[str]:
        """Names that are public here, whatever they refer to."""
        if self.listed is not None:
            return self.listed
        own = [*self.definitions, *(self.imports if self.is_package else ())]
        return [name for name in own if not name.startswith("_")]


class SourceTree:
    """The modules of one distribution, parsed when first needed."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.public = [name for name in files if not any(part.startswith("_") for part in name.split("."))]
        self.broken: dict[str, str] = {}
        self._modules: dict[str, Module | None] = {}
        self._best: dict[tuple[str, str], str] = {}  # where it is defined -> its best public name

    def module(self, name: str) -> Module | None:
        """The parsed module, or None for one that is not here or can't be parsed."""
        if name not in self._modules:
            self._modules[name] = self._parse(name) if name in self.files else None
        return self._modules[name]

    def walk(self) -> Iterator[str]:
        """Find every public name; yields each module when it is done."""
        for name in self.public:
            module = self.module(name)
            if module is not None:
                offered = module.offers()
                if module.listed is None and module.is_package:
                    offered = [*offered, *(member for star in module.stars for member in self._star(star, {name}))]
                for member in offered:
                    home = self._resolve(name, member, set())
                    if home is not None and not member.startswith("_"):
                        self._offer(home, f"{name}.{member}")
            yield name

    def symbols(self) -> list[Symbol]:
        """Modules, classes, functions, methods and properties with a docstring of their own, sorted by name."""
        found: dict[str, Symbol] = {}
        for name in self.public:
            module = self.module(name)
            if module is not None and module.doc:
                found[name] = Symbol(name, module.doc, None, None)
        for (home, member), name in self._best.items():
            module = self.module(home)
            if module is not None:
                for symbol in module.definitions[member]:
                    full = name + symbol.name.removeprefix(member)
                    found[full] = replace(symbol, name=full)
        return [found[name] for name in sorted(found)]

    def _offer(self, home: tuple[str, str], name: str) -> None:
        def rank(candidate: str) -> tuple[int, int, str]:
            return candidate.count("."), len(candidate), candidate

        if home not in self._best or rank(name) < rank(self._best[home]):
            self._best[home] = name

    def _resolve(self, module_name: str, member: str, seen: set[tuple[str, str]]) -> tuple[str, str] | None:
        """Where `member` of a module is defined, followed through imports within the distribution."""
        module = self.module(module_name)
        if module is None or (module_name, member) in seen:
            return None
        seen.add((module_name, member))
        if member in module.definitions:
            return module_name, member
        if member in module.imports:
            return self._resolve(*module.imports[member], seen)
        for star in module.stars:
            home = self._resolve(star, member, seen)
            if home is not None:
                return home
        return None

    def _star(self, module_name: str, seen: set[str]) -> list[str]:
        """What `from module import *` brings."""
        module = self.module(module_name)
        if module is None or module_name in seen:
            return []
        seen.add(module_name)
        if module.listed is not None:
            return module.listed
        names = [*module.definitions, *module.imports]
        return [name for name in names if not name.startswith("_")] + [
            name for star in module.stars for name in self._star(star, seen)
        ]

    def _parse(self, name: str) -> Module | None:
        path = self.files[name]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in other people's strings
                tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            self.broken[name] = f"{type(error).__name__}: {error}"
            return None
        module = Module(_docstring(tree), path.stem == "__init__")
        package = name if module.is_package else name.rpartition(".")[0]
        _read_top_level(tree.body, module, package)
        return module


def _read_top_level(body: list[ast.stmt], module: Module, package: str) -> None:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            module.definitions[node.name] = list(_symbols_of(node.name, node))
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, package)
            for alias in node.names:
                if alias.name == "*":
                    module.stars.append(origin)
                else:
                    module.imports[alias.asname or alias.name] = (origin, alias.name)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
            _read_listed(node, module)
        elif isinstance(node, ast.If):
            _read_top_level([*node.body, *node.orelse], module, package)
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            _read_top_level([*handlers, *node.body, *node.orelse, *node.finalbody], module, package)


def _read_listed(node: ast.Assign | ast.AugAssign | ast.AnnAssign, module: Module) -> None:
    """Take `__all__ = [...]` and `__all__ += [...]` where they are literal."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
        return
    literal = node.value
    if isinstance(literal, (ast.List, ast.Tuple)):
        names = [item.value for item in literal.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if len(names) == len(literal.elts):
            module.listed = (module.listed or [] if isinstance(node, ast.AugAssign) else []) + names
            return
    module.listed = None if not isinstance(node, ast.AugAssign) else module.listed


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that a relative import means."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _symbols_of(name: str, node: Definition) -> Iterator[Symbol]:
    doc = _docstring(node)
    if isinstance(node, ast.ClassDef):
        if doc:
            made = next(
                (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None
            )
            yield Symbol(name, doc, *(_signature(made, drop_first=True) if made is not None else (None, None)))
        for item in node.body:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and not item.name.startswith("_"):
                yield from _method(f"{name}.{item.name}", item)
    elif doc:
        yield Symbol(name, doc, *_signature(node, drop_first=False))


def _method(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Symbol]:
    doc = _docstring(node)
    decorators = {ast.unparse(decorator).split("(")[0].rsplit(".", 1)[-1] for decorator in node.decorator_list}
    if not doc or decorators & {"setter", "deleter", "overload"}:
        return
    if any(decorator.endswith("property") for decorator in decorators):
        yield Symbol(name, doc, None, None)
    else:
        yield Symbol(name, doc, *_signature(node, drop_first="staticmethod" not in decorators))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, drop_first: bool) -> tuple[str, list[str]]:
    """`("(a, *p)", ["a", "*p"])`, without annotations: they are for type checkers and triple the length."""
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    if drop_first:
        for group in (arguments.posonlyargs, arguments.args):
            if group:
                del group[0]
                break
        arguments.defaults = arguments.defaults[-(len(arguments.posonlyargs) + len(arguments.args)) :]
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [argument.arg for argument in arguments.kwonlyargs]
    names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return f"({ast.unparse(arguments)})", names


def _docstring(node: ast.Module | Definition) -> str | None:
    doc = ast.get_docstring(node, clean=False)
    return inspect.cleandoc(doc) if doc and doc.strip() else None
