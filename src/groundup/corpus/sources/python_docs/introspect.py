"""Lists the standard library's public symbols as JSON lines. Run as a program, in a process of its own.

    python -P -s -S -B introspect.py > symbols.jsonl

Importing a module runs it, so this never happens in the process that trains. Nothing but the standard library is
imported here. Rows: `{"kind": "progress", "module"}` for each module imported, `{"kind": "skipped", "name", "reason"}`
for each that can't be, then `{"kind": "symbol", "name", "what", "signature", "parameters", "doc"}` and
`{"kind": "topic", "name", "doc"}`, sorted by name.

One object often has several names (`asyncio.run`, `asyncio.runners.run`). It is listed once, under the name with the
fewest dots; then the one whose last part is what the object calls itself; then the one found first.
"""

import importlib
import inspect
import json
import os
import pkgutil
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]

# Side effects on import, no public interface, or implementations of what another module documents.
# fmt: off
SKIPPED = frozenset({
    "antigravity", "ensurepip", "genericpath", "idlelib", "lib2to3", "nt", "ntpath", "nturl2path", "opcode", "pip",
    "posix", "posixpath", "pydoc_data", "sre_compile", "sre_constants", "sre_parse", "test", "this", "turtledemo",
    "venv", "xxlimited", "xxlimited_35", "xxsubtype",
})
# fmt: on
WITHOUT_SUBMODULES = frozenset({"encodings", "distutils"})  # codec tables; commands of a build tool now gone
SKIPPED_PARTS = frozenset({"test", "tests", "__main__"})
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
LOCAL_PATHS = [path for path in (sys.executable, sys.prefix, sys.base_prefix, str(Path.home())) if len(path) > 1]
STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
GENERATED = re.compile(r"Alias for field number \d+|An enumeration\.|")


def module_names() -> list[str]:
    """Public top-level modules, then `os.path`, which is a module by another name."""
    names = [name for name in sys.stdlib_module_names if not name.startswith("_") and name not in SKIPPED]
    return [*sorted(names), "os.path"]


def import_module(name: str, skipped: list[Row]) -> types.ModuleType | None:
    """The module, or None (and a row in `skipped`) where this machine can't import it."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        skipped.append({"kind": "skipped", "name": name, "reason": f"{type(error).__name__}: {error}"})
        return None


def modules(emit: Callable[[Row], None], skipped: list[Row]) -> Iterator[tuple[str, types.ModuleType]]:
    """`(name, module)` of every public module and submodule."""
    for top in module_names():
        pending = [top]
        while pending:
            name = pending.pop(0)
            module = import_module(name, skipped)
            if module is None:
                continue
            emit({"kind": "progress", "module": name})
            yield name, module
            if top not in WITHOUT_SUBMODULES and hasattr(module, "__path__"):
                for found in sorted(info.name for info in pkgutil.iter_modules(module.__path__)):
                    if not found.startswith("_") and found not in SKIPPED_PARTS:
                        pending.append(f"{name}.{found}")


def public_members(name: str, module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """`(member, object)` of what a module offers: `__all__`, or else the public names that it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        for member in listed:
            if not member.startswith("_") and hasattr(module, member):
                yield member, getattr(module, member)
        return
    for member, value in list(vars(module).items()):
        home = getattr(value, "__module__", None)
        if not member.startswith("_") and (home is None or home in (name, f"_{name}", "builtins", module.__name__)):
            yield member, value


def is_function(value: object) -> bool:
    return isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType))


def identity(value: object) -> int:
    """What two names have in common when they are one symbol: bound methods lead to their function."""
    if isinstance(value, types.MethodType):
        return id(value.__func__)
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, (types.ModuleType, type(None))):
        owner = value.__self__ if isinstance(value.__self__, type) else type(value.__self__)
        for base in owner.__mro__:
            if value.__name__ in vars(base):
                return id(vars(base)[value.__name__])
    return id(value)


def own_doc(value: object) -> str | None:
    """A docstring of its own, not one that is inherited or made by a generator of classes."""
    if isinstance(value, type) and "__doc__" not in vars(value):
        return None
    doc = value.__doc__
    if not isinstance(doc, str):
        return None
    doc = inspect.cleandoc(doc)
    if GENERATED.fullmatch(doc) or (isinstance(value, type) and is_own_signature(doc, value)):
        return None
    return doc


def is_own_signature(doc: str, value: type) -> bool:
    """`Point(x, y)` as the docstring of `Point`: what namedtuple and dataclass write says nothing new."""
    return "\n" not in doc and doc.startswith(f"{value.__name__}(") and doc.endswith(")")


class Default:
    """Replaces a default value that depends on this machine or process: shown as `...`."""

    def __repr__(self) -> str:
        return "..."

    @classmethod
    def of(cls, value: Any) -> Any:
        """`value` where it is a literal, a class or a function; never the environment, a path or an object's state."""
        if value is inspect.Parameter.empty or value is None or isinstance(value, (bool, int, float, complex, bytes)):
            return value
        if isinstance(value, str):
            return cls() if any(path in value for path in LOCAL_PATHS) else value
        if isinstance(value, (tuple, list)):
            return type(value)(map(cls.of, value)) if type(value) in (tuple, list) else cls()
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return Named(value.__name__)
        return value if value == {} else cls()


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def described(value: Any, drop_first: bool) -> tuple[str | None, list[str] | None]:
    """`(signature, parameters)`: `("(a, *p)", ["a", "*p"])`; `(None, None)` where Python knows none."""
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError, AttributeError, NameError):  # AttributeError: C text that names what is not there
        return None, None
    shown = [parameter.replace(default=Default.of(parameter.default)) for parameter in signature.parameters.values()]
    if drop_first:
        shown = shown[1:]
    signature = signature.replace(parameters=shown)
    names = []
    for parameter in shown:
        names.append(STARS.get(parameter.kind.name, "") + parameter.name)
    if isinstance(value, type) and names in (["*args", "**kwargs"], ["value", "names", "module", "qualname", "type",
                                             "start", "boundary"]):  # fmt: skip
        return None, None  # inherited from Exception, Enum and their like: true of a thousand classes
    return ADDRESS.sub("", str(signature)), names


class Offer(NamedTuple):
    """An object under its best name so far."""

    rank: tuple[int, bool, int]  # the smallest wins
    name: str
    what: str
    value: object  # what is called: its signature is the one to show
    raw: object  # what its class or module holds: its docstring is its own
    drop_first: bool  # whether the first parameter is `self`


class Symbols:
    """Every object once, under its best name."""

    def __init__(self) -> None:
        self.found: dict[int, Offer] = {}
        self.order = 0
        self.alive: list[object] = []  # ids are only unique among objects that live

    def offer(self, name: str, what: str, value: object, raw: object, drop_first: bool = False) -> None:
        own = getattr(raw, "__name__", None)
        rank = (name.count("."), own != name.rsplit(".", 1)[-1], self.order)
        self.order += 1
        self.alive.append(raw)
        key = identity(raw)
        if key not in self.found or rank < self.found[key].rank:
            self.found[key] = Offer(rank, name, what, value, raw, drop_first)

    def offer_class(self, name: str, cls: type) -> None:
        self.offer(name, "class", cls, cls)
        for member, raw in list(vars(cls).items()):
            if member.startswith("_"):
                continue
            full = f"{name}.{member}"
            if isinstance(raw, (staticmethod, classmethod)):
                self.offer(full, "method", getattr(cls, member), raw.__func__)
            elif isinstance(raw, types.ClassMethodDescriptorType):
                self.offer(full, "method", getattr(cls, member), raw)
            elif isinstance(raw, (types.FunctionType, types.MethodDescriptorType)):
                self.offer(full, "method", raw, raw, drop_first=True)
            elif isinstance(raw, types.BuiltinFunctionType):
                self.offer(full, "method", raw, raw)
            elif isinstance(raw, (property, types.GetSetDescriptorType, types.MemberDescriptorType)) or (
                type(raw).__name__ in ("cached_property", "DynamicClassAttribute")
            ):
                self.offer(full, "property", raw, raw)

    def rows(self) -> Iterator[Row]:
        for offer in sorted(self.found.values(), key=lambda offer: offer.name):
            doc = own_doc(offer.raw)
            if doc is None:
                continue
            described_ = (None, None) if offer.what == "property" else described(offer.value, offer.drop_first)
            yield {
                "kind": "symbol",
                "name": offer.name,
                "what": offer.what,
                "signature": described_[0],
                "parameters": described_[1],
                "doc": ADDRESS.sub("", doc),
            }


def main() -> None:
    # Modules that print when imported must not reach the file that the rows go to.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")

    def emit(row: Row) -> None:
        out.write(json.dumps(row) + "\n")
        out.flush()

    skipped: list[Row] = []
    modules_seen: list[Row] = []
    symbols = Symbols()
    for name, module in modules(emit, skipped):
        doc = getattr(module, "__doc__", None)
        if isinstance(doc, str) and doc.strip():
            modules_seen.append({"kind": "symbol", "name": name, "what": "module", "signature": None,
                                 "parameters": None, "doc": inspect.cleandoc(doc)})  # fmt: skip
        for member, value in public_members(name, module):
            full = member if name == "builtins" else f"{name}.{member}"
            if isinstance(value, type):
                symbols.offer_class(full, value)
            elif is_function(value):
                symbols.offer(full, "function", value, value)
    rows = list(symbols.rows())
    taken = {row["name"] for row in rows}  # `unittest.main` is a class, and the module that the class hides
    rows += [row for row in modules_seen if row["name"] not in taken]
    from pydoc_data.topics import topics

    rows += [{"kind": "topic", "name": name, "doc": topics[name]} for name in topics]
    for row in sorted(skipped, key=lambda row: row["name"]) + sorted(rows, key=lambda row: (row["name"], row["kind"])):
        emit(row)
    out.close()
    os._exit(0)  # modules that register clean-up at exit have nothing to clean


if __name__ == "__main__":
    main()
