"""The way in: `load(path)` gives a blueprint in which every value is known, with where each came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from groundup.blueprint import checks
from groundup.blueprint.configuration import Blueprint
from groundup.blueprint.overrides import apply
from groundup.blueprint.problems import BlueprintError, Problem, Where
from groundup.blueprint.start import SOURCE, rewarmed, start_values
from groundup.blueprint.tree import Node, parse
from groundup.blueprint.validate import validate, where_of
from groundup.errors import GroundupError
from groundup.planning.recipe import recipe
from groundup.planning.size import Derived, derive
from groundup.section import Section

MAX_BYTES = 1 << 20

SectionT = TypeVar("SectionT", bound=Section)
Leaf = str | int | float | bool | None | list[Any]


@dataclass(frozen=True)
class LoadedBlueprint:
    """A blueprint, complete: nothing that `size` derives is None in it."""

    blueprint: Blueprint
    path: Path
    text: str
    """The file as read."""
    overrides: tuple[str, ...] = ()
    derived: Mapping[str, Derived] = field(default_factory=dict)
    tree: Node = field(default_factory=lambda: Node({}, Where(0, 0, "")), repr=False)

    @property
    def base(self) -> Path:
        """The folder of the file: relative paths in it start here."""
        return self.path.resolve().parent

    def leaves(self) -> list[tuple[str, Leaf]]:
        """`(dotted path, value)` of every value, in the order of the file, defaults after what is written. A list of
        plain values is one value; notes that were not written are skipped."""
        return list(self._values.items())

    @cached_property
    def _values(self) -> dict[str, Leaf]:
        return dict(_leaves(self.blueprint, self.tree, ""))  # once: `origin` is asked for each of them

    def origin(self, path: str) -> str:
        """Where a value came from: `blueprint.yaml:12`, `--set`, `default`, or `size 4M: RULE (SOURCE)`.

        Raises:
            KeyError: there is no such value.
        """
        if path not in self._values:
            raise KeyError(path)
        if path in self.derived:
            derived = self.derived[path]
            by = "" if derived.source == SOURCE else f"size {self.blueprint.size}: "
            return f"{by}{derived.rule} ({derived.source})"
        node = self.tree.at(path)
        return node.where.origin if node else "default"

    def notes(self) -> list[tuple[str, str]]:
        """`(section, text)` of every note, in the order of the file; the section of the note at the top is ""."""
        notes = ((path.rpartition("."), value) for path, value in self.leaves())
        return [(section, str(text)) for (section, _, key), text in notes if key == "notes"]

    def check_files(self) -> None:
        """Raises BlueprintError for every file, folder or source in the blueprint that doesn't exist, and for every
        data file of which too many rows can't be used."""
        problems = checks.missing_files(self.blueprint, self.tree, self.base)
        problems += checks.unknown_sources(self.blueprint, self.tree, self.base)
        problems += checks.unusable_data(self.blueprint, self.tree, self.base)
        if problems:
            raise BlueprintError(problems)


def load(path: Path, overrides: Sequence[str] = ()) -> LoadedBlueprint:
    """Read a blueprint, put `--set` overrides into it, check it and derive what it leaves open.

    Args:
        path: the YAML file (UTF-8, at most 1 MB).
        overrides: `section.key=value`, the value as YAML; see `overrides.apply`.

    Raises:
        BlueprintError: everything that is wrong, each with its file, line and column or its `--set`.
    """
    text = _read(path)
    tree, problems = parse(text, str(path))
    if tree is None and problems:
        raise BlueprintError(problems)
    tree, wrong = apply(tree, overrides)
    problems += wrong
    start = Where(1, 1, str(path))
    if tree is None or tree.value is None:
        raise BlueprintError([*problems, Problem(start, "", "is empty; `groundup new DIR` writes one to start from")])
    if not isinstance(tree.value, dict):
        kind = "a list" if isinstance(tree.value, tuple) else "a single value"
        raise BlueprintError([*problems, Problem(tree.where, "", f"expected keys such as `curate:`, got {kind}")])
    blueprint, wrong = validate(tree, problems)
    problems += wrong
    if blueprint is None or problems:
        raise BlueprintError(problems)
    derived = _start_values(blueprint, tree, path.resolve().parent)
    blueprint = _filled(blueprint, {path: one.value for path, one in derived.items()})
    derived |= recipe(blueprint)
    blueprint = _filled(blueprint, {path: one.value for path, one in derived.items()})
    if problems := checks.size_of(blueprint, tree):
        raise BlueprintError(problems)
    derived |= derive(blueprint)
    derived |= rewarmed(blueprint, derived)
    blueprint = _filled(blueprint, {path: one.value for path, one in derived.items()})
    if problems := checks.together(blueprint, tree):
        raise BlueprintError(problems)
    return LoadedBlueprint(blueprint, path, text, tuple(overrides), derived, tree)


def _start_values(blueprint: Blueprint, tree: Node, base: Path) -> dict[str, Derived]:
    """Nothing where the model's folder isn't there: `check_files` reports that, before a run."""
    if blueprint.start is None or not (base / blueprint.start.model.expanduser()).exists():
        return {}
    try:
        return start_values(blueprint, base)
    except GroundupError as error:
        what = f"{error.what} ({error.where})" if error.where else error.what
        raise BlueprintError([Problem(where_of(tree, "start.model", "start"), "start.model", what)]) from error


def _read(path: Path) -> str:
    where = Where(0, 0, str(path))
    try:
        if path.is_dir():
            inside = path / "blueprint.yaml"
            hint = f"; did you mean {inside}?" if inside.is_file() else ""
            raise BlueprintError([Problem(where, "", f"is a folder, not a blueprint{hint}")])
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        what = "there is no such file; `groundup new DIR` writes one to start from"
        raise BlueprintError([Problem(where, "", what)]) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        what = f"can't be read ({getattr(error, 'strerror', None) or error})"
        raise BlueprintError([Problem(where, "", what)]) from error
    if len(raw) > MAX_BYTES:
        raise BlueprintError(
            [Problem(where, "", "is larger than 1 MB; a blueprint names its data, it does not contain it")]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig", "replace")
        where = Where(good.count("\n") + 1, len(good) - good.rfind("\n"), str(path))
        what = f"is not UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        raise BlueprintError([Problem(where, "", what)]) from error


def _filled(blueprint: Blueprint, values: Mapping[str, Any]) -> Blueprint:
    for path, value in values.items():
        blueprint = _with(blueprint, path.split("."), value)
    return blueprint


def _with(section: SectionT, path: list[str], value: Any) -> SectionT:
    """A copy of `section` with another value at the path."""
    name, rest = path[0], path[1:]
    return section.model_copy(update={name: _with(getattr(section, name), rest, value) if rest else value})


def _leaves(section: Section, node: Node | None, prefix: str) -> Iterator[tuple[str, Leaf]]:
    written = [name for name in (node.mapping if node else {}) if name in type(section).model_fields]
    for name in [*written, *(name for name in type(section).model_fields if name not in written)]:
        value, below = getattr(section, name), node.mapping.get(name) if node else None
        path = f"{prefix}{name}"
        if isinstance(value, Section):
            yield from _leaves(value, below, f"{path}.")
        elif isinstance(value, tuple) and any(isinstance(item, Section) for item in value):
            items = below.items if below else ()
            for index, item in enumerate(value):
                yield from _leaves(item, items[index] if index < len(items) else None, f"{path}.{index}.")
        elif name != "notes" or value is not None:
            yield path, _plain(value)


def _plain(value: Any) -> Leaf:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
