"""A blueprint back to YAML: every value, and a comment on where it came from if the file does not have it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.blueprint.load import Leaf, LoadedBlueprint
from groundup.blueprint.tree import resolve
from groundup.section import Section

Tree = dict[str, Any]

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/+-")


def dump(loaded: LoadedBlueprint, at: Path | None = None) -> str:
    """The blueprint as executed: YAML with every value that loads to the same blueprint.

    Args:
        loaded: the blueprint.
        at: the folder in which the text will be; relative paths in it are then rewritten to start there.
    """
    values = dict(loaded.leaves())
    if at is not None:
        for key in _path_keys(loaded.blueprint, ""):
            value = Path(str(values[key])).expanduser()
            values[key] = str(value) if value.is_absolute() else os.path.relpath(loaded.base / value, at.resolve())
    return "".join(f"{line}\n" for line in _section(loaded, _nested(values), "", ""))


def _nested(values: dict[str, Leaf]) -> Tree:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`; items of lists have their numbers as keys."""
    top: Tree = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        section = top
        for part in parents:
            section = section.setdefault(part, {})
        section[last] = value
    return top


def _section(loaded: LoadedBlueprint, section: Tree, prefix: str, pad: str) -> Iterator[str]:
    for key, value in section.items():
        path = f"{prefix}{key}"
        if value == {}:
            yield f"{pad}{key}: {{}}{_comment(loaded, path)}"
            continue
        if not isinstance(value, dict):
            text = yaml(value, len(pad) + 2)
            origin = "" if "\n" in text else _comment(loaded, path)
            yield f"{pad}{key}: {text}{origin}"
            continue
        yield f"{pad}{key}:"
        if not all(part.isdecimal() for part in value):
            yield from _section(loaded, value, f"{path}.", f"{pad}  ")
            continue
        for index, item in value.items():
            first, *rest = _section(loaded, item, f"{path}.{index}.", f"{pad}    ")
            yield f"{pad}  - {first.lstrip()}"
            yield from rest


def _comment(loaded: LoadedBlueprint, path: str) -> str:
    """Where a value came from that is not in the file."""
    node = loaded.tree.at(path)
    in_file = path not in loaded.derived and node is not None and node.where.line > 0
    return "" if in_file else f"  # {loaded.origin(path)}"


def yaml(value: Leaf, indent: int = 0) -> str:
    """A value in YAML; text of several lines as a block, `indent` columns in, where it can be one."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(yaml(item) for item in value)}]"
    if indent and _fits_block(value):
        lines = value.removesuffix("\n").split("\n")
        mark = "|" if value.endswith("\n") else "|-"
        return mark + "".join(f"\n{' ' * indent}{line}" if line else "\n" for line in lines)
    return _scalar(value)


def _scalar(text: str) -> str:
    """Plain where it reads back as the same text, else in double quotes."""
    try:
        if text and PLAIN.issuperset(text) and text[0].isalnum() and resolve(text) == text:
            return text
    except ValueError:
        pass
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable() and character != "\ufeff":
        return character
    if character == "\n":
        return "\\n"
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _fits_block(text: str) -> bool:
    lines = text.removesuffix("\n").split("\n")
    fits = all(line.isprintable() and not line.startswith(" ") and line == line.rstrip() for line in lines)
    return "\n" in text and fits and bool(lines[0]) and bool(lines[-1])


def _path_keys(value: object, path: str) -> list[str]:
    if isinstance(value, Path):
        return [path]
    if isinstance(value, Section):
        below = [(f"{path}.{name}" if path else name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, tuple):
        below = [(f"{path}.{index}", item) for index, item in enumerate(value)]
    else:
        return []
    return [key for name, item in below for key in _path_keys(item, name)]
