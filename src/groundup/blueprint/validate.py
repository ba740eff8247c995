"""From nodes to a Blueprint, or to everything that is wrong with them, each with its position and in plain words."""

import json
from functools import cache
from typing import Any

from pydantic import ValidationError

from groundup.blueprint.configuration import Blueprint
from groundup.blueprint.problems import MAX_SHOWN, Problem, Where
from groundup.blueprint.tree import Node, visible
from groundup.blueprint.words import BlueprintSchema, Schema, elsewhere, expectation, hint, joined, nearest, received
from groundup.section import Section


@cache
def shape() -> BlueprintSchema:
    """The blueprint's JSON schema; made only when something is wrong."""
    return BlueprintSchema(Blueprint.model_json_schema())


def validate(root: Node, already: list[Problem]) -> tuple[Blueprint | None, list[Problem]]:
    """The blueprint that `root` describes, or None and what is wrong.

    Values are checked strictly, as JSON: "12" is no number, 1 is no truth value, a list becomes a tuple and text a
    path. A section with nothing in it (all its keys commented out) is as good as absent.

    Args:
        root: a mapping.
        already: problems of the reading; a value that was blamed there is not blamed again.
    """
    text = json.dumps(_without_empty_sections(root.plain(), Blueprint))
    try:
        return Blueprint.model_validate_json(text, strict=True), []
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
    blamed = {(problem.where, problem.path) for problem in already}
    explain = _Explain(root)
    found = [explain.problem(one) for one in wrong if not explain.follows_from_others(one)]
    problems = {problem.path: problem for problem in found if (problem.where, problem.path) not in blamed}
    for path in explain.covered:  # a misspelt key explains why the right one is missing
        problems.pop(path, None)
    return None, list(problems.values())


def _without_empty_sections(data: Any, section: type[Section]) -> Any:
    if not isinstance(data, dict):
        return data
    kept = {}
    for key, value in data.items():
        field = section.model_fields.get(key)
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, Section):
            value = {} if value is None else _without_empty_sections(value, inner)
        kept[key] = value
    return kept


class _Explain:
    """Turns pydantic's findings into problems of the file."""

    def __init__(self, root: Node) -> None:
        self.root, self.shape = root, shape()
        self.covered: set[str] = set()
        self._suggested = 0

    def follows_from_others(self, wrong: Any) -> bool:
        """A list that is too short only because pydantic does not count its wrong items."""
        node = self._locate(wrong["loc"])[1]
        return wrong["type"] == "too_short" and node is not None and len(node.items) >= wrong["ctx"]["min_length"]

    def problem(self, wrong: Any) -> Problem:
        location = wrong["loc"]
        if wrong["type"] == "missing" and isinstance(location[-1], int):
            wrong, location = {"type": "too_short"}, location[:-1]  # a list of fixed length: blame the list
        path, node, schema, section = self._locate(location)
        key = path[-1] if path else ""
        dotted = ".".join(map(visible, path))
        match wrong["type"]:
            case "extra_forbidden":
                where = section.keys.get(key, section.where)
                if renamed := self.shape.follow(schema).get("x-renamed", {}).get(key):
                    self.covered.add(".".join([*map(visible, path[:-1]), renamed]))
                    return Problem(where, dotted, f"{key} is called {renamed} now")
                return Problem(where, dotted, f"unknown key{self._meant(key, path[:-1], schema, section)}")
            case "missing":
                what = f"is missing: expected {expectation(schema, self.shape)}"
                return Problem(section.where, dotted, what)
            case "union_tag_not_found" | "union_tag_invalid":
                return self._kind(dotted, node or section, schema)
            case "value_error":
                return Problem((node or section).where, dotted, str(wrong["ctx"]["error"]))
        if node is None:
            return Problem(section.where, dotted, visible(wrong["msg"], 200))
        what = f"expected {expectation(schema, self.shape)}, got {received(node)}{hint(schema, node, self.shape)}"
        return Problem(node.where, dotted, what)

    def _locate(self, location: tuple[str | int, ...]) -> tuple[list[str], Node | None, Schema, Node]:
        """`(path, node, schema, section)`: the node and its schema, and the mapping or list that contains it.

        pydantic's locations name the chosen kind of a section as if it were a key; it is stepped over. For an
        unknown key the schema is that of its section.
        """
        path: list[str] = []
        node: Node | None = self.root
        section, schema = self.root, self.shape.top
        for part in location:
            schema_here = self.shape.follow(schema)
            variants = self.shape.variants(schema_here)
            if part in variants:
                schema = variants[str(part)]
                continue
            if node is None or not isinstance(node.value, (dict, tuple)):
                break  # inside a single value: which of several types it might have been
            below = self.shape.child(schema_here, part)
            section, schema = node, below or schema_here
            node = node.at(str(part)) if isinstance(part, int) else node.mapping.get(part)
            path.append(str(part))
        return path, node, schema, section

    def _kind(self, dotted: str, node: Node, schema: Schema) -> Problem:
        schema = self.shape.follow(schema)
        name, choices = schema["discriminator"]["propertyName"], list(self.shape.variants(schema))
        given = node.mapping.get(name)
        path = f"{dotted}.{name}"
        if given is None:
            return Problem(node.where, path, f"is missing: expected one of {', '.join(choices)}")
        near = nearest(given.value, choices) if isinstance(given.value, str) else None
        meant = f"; did you mean {near}?" if near else ""
        return Problem(given.where, path, f"expected one of {', '.join(choices)}, got {received(given)}{meant}")

    def _meant(self, key: str, path: list[str], schema: Schema, section: Node) -> str:
        """`; did you mean pretrain.tokens?`: the same key of another section, else a like one of this section."""
        self._suggested += 1
        if self._suggested > MAX_SHOWN:  # comparing takes its time, and no more are shown
            return ""
        if "." in key and self.shape.has(".".join([*filter(_is_key, path), key])):
            above, _, last = key.rpartition(".")
            return f"; write {last} on a line of its own, indented below {above}"
        keys = list(self.shape.follow(schema).get("properties", {}))
        here = ".".join(filter(_is_key, path))
        in_file = section.mapping[key].where.line > 0  # `--set` may also mean a key that the file has
        near = nearest(key, [one for one in keys if not (in_file and one in section.mapping)])
        others = elsewhere(key, here, self.shape)
        if others and not (near and nearest(key, [near], cutoff=0.85)):
            return f"; did you mean {_either(others, key)}?"
        if near and near not in section.mapping:
            self.covered.add(".".join([*map(visible, path), near]))
        if near:
            return f"; did you mean {near}?"
        return f"; it may be one of {', '.join(keys)}" if len(keys) <= 8 else ""


def _is_key(part: str) -> bool:
    return not part.isdecimal()


def _either(sections: list[str], key: str) -> str:
    paths = [joined(section, key) for section in sections[:3]]
    return f"{', '.join(paths[:-1])} or {paths[-1]}" if len(paths) > 1 else paths[0]


def where_of(root: Node, *paths: str) -> Where:
    """The position of the first of `paths` that is in the file; else of the nearest section around it that is."""
    for path in paths:
        node = root.at(path)
        if node is not None:
            return node.where
    parts = paths[0].split(".")
    for end in range(len(parts) - 1, 0, -1):
        node = root.at(".".join(parts[:end]))
        if node is not None:
            return node.where
    return root.where
