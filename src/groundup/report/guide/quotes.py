"""Source text by symbol name, read from the package's files without importing them."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from groundup.errors import GroundupError
from groundup.report.guide.book import PACKAGE


@dataclass(frozen=True)
class QuotedSource:
    """A definition as it is in the package."""

    symbol: str
    path: str
    """From the package's folder on: `model/attention.py`."""
    line: int
    text: str


def quote(symbol: str, where: str = "") -> QuotedSource:
    """The definition that `groundup.model.attention.attend` names: a function, class, method or constant.

    Raises:
        GroundupError: there is none.
    """
    names = symbol.split(".")
    for length in range(len(names), 0, -1):
        base = PACKAGE.parent.joinpath(*names[:length])
        path = next((one for one in (base.with_suffix(".py"), base / "__init__.py") if one.is_file()), None)
        if path is not None:
            text, tree = _parsed(path)
            node = _find(tree, names[length:])
            if node is None:
                break
            first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
            lines = text.splitlines()[first - 1 : node.end_lineno]
            shown = path.relative_to(PACKAGE).as_posix()
            return QuotedSource(symbol, shown, first, textwrap.dedent("\n".join(lines)))
    raise GroundupError(f"quotes {symbol}, which is not in the package", where=where, do="name what replaced it")


@cache
def _parsed(path: Path) -> tuple[str, ast.Module]:
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


def _find(tree: ast.Module, names: list[str]) -> ast.stmt | None:
    body: list[ast.stmt] = tree.body
    found: ast.stmt | None = None
    for name in names:
        found = next((node for node in body if name in _defines(node)), None)
        if found is None:
            return None
        body = found.body if isinstance(found, ast.ClassDef) else []
    return found


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()
