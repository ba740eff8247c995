"""Errors in plain words: what a value should have been, what it is, and what was probably meant.

All of it is read off the JSON schema of the blueprint, so a new section needs nothing here.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from groundup.blueprint.tree import Node, Scalar, resolve, visible

Schema = Mapping[str, Any]

SHORT_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMbB])")
THOUSANDS = {"k": 10**3, "m": 10**6, "b": 10**9}


class BlueprintSchema:
    """The blueprint's JSON schema with its references followed."""

    def __init__(self, schema: Schema) -> None:
        self.top, self._definitions = schema, schema.get("$defs", {})

    def follow(self, schema: Schema) -> Schema:
        """The schema that a reference, or a type `or null`, means."""
        if "$ref" in schema:
            return self.follow(self._definitions[schema["$ref"].rsplit("/", 1)[1]])
        kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
        return self.follow(kinds[0]) if len(kinds) == 1 else schema

    def variants(self, schema: Schema) -> dict[str, Schema]:
        """The sections among which `kind` (or another discriminator) chooses, by its value."""
        mapping = schema.get("discriminator", {}).get("mapping", {})
        return {tag: self.follow({"$ref": reference}) for tag, reference in mapping.items()}

    def child(self, schema: Schema, part: str | int) -> Schema:
        """The schema of a key or item; an empty one where there is none."""
        schema = self.follow(schema)
        if isinstance(part, str):
            return schema.get("properties", {}).get(part) or _mapping_value(schema)
        fixed = schema.get("prefixItems", ())
        return fixed[part] if part < len(fixed) else schema.get("items", {})

    def has(self, path: str) -> bool:
        """Whether a dotted path (without the numbers of list items) names a key."""
        section, _, key = path.rpartition(".")
        return any(key in schema["properties"] for one, schema in self.sections() if one == section)

    def sections(self) -> Iterator[tuple[str, Schema]]:
        """`(path, schema)` of every section, the top one (path "") first."""
        yield from self._below("", self.top)

    def _below(self, path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
        schema = self.follow(schema)
        for tag, variant in self.variants(schema).items():
            yield from self._below(f"{path} ({schema['discriminator']['propertyName']}: {tag})", variant)
        if schema.get("type") == "array":
            yield from self._below(path, schema.get("items", {}))
        if "properties" in schema:
            yield path, schema
            for key, value in schema["properties"].items():
                yield from self._below(f"{path}.{key}" if path else key, value)


def _mapping_value(schema: Schema) -> Schema:
    values = schema.get("additionalProperties")
    return values if isinstance(values, Mapping) else {}


def expectation(schema: Schema, shape: BlueprintSchema) -> str:
    """`a number above 0`, `one of ppo, dpo`, `a whole number of at least 1 or null`, ..."""
    if "anyOf" in schema:
        return ", or ".join(expectation(kind, shape) for kind in schema["anyOf"])
    schema = shape.follow(schema)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    match schema.get("type"):
        case "null":
            return "null"
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return _number(schema)
        case "string" if schema.get("format") == "path":
            return "a path"
        case "string" if "examples" in schema:
            *others, last = map(str, schema["examples"])
            return f"text such as {', '.join(others)} or {last}" if others else f"text such as {last}"
        case "string":
            return f"text that matches {schema['pattern']}" if "pattern" in schema else "text"
        case "array" if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])}, each {expectation(schema['prefixItems'][0], shape)}"
        case "array":
            least = schema.get("minItems", 0)
            return f"a list of at least {least}" if least else "a list"
    return "a section, with its keys indented below it"


def _number(schema: Schema) -> str:
    noun = "a whole number" if schema["type"] == "integer" else "a number"
    if "minimum" in schema and "maximum" in schema:
        return f"{noun} from {_bound(schema['minimum'])} to {_bound(schema['maximum'])}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{word} {_bound(schema[name])}" for name, word in words.items() if name in schema]
    return f"{noun} {' and '.join(bounds)}".strip()


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) or value != int(value) else f"{int(value):,}"


def received(node: Node) -> str:
    """The value as it was written, in a few words."""
    value = node.value
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"'{visible(value, 40)}'"
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def hint(schema: Schema, node: Node, shape: BlueprintSchema) -> str:
    """What to write instead, where that is clear: `; remove the quotes`. Empty otherwise."""
    schema, value = shape.follow(schema), node.value
    if "enum" in schema and isinstance(value, str):
        near = nearest(value, [str(choice) for choice in schema["enum"]])
        return f"; did you mean {near}?" if near else ""
    match schema.get("type"):
        case "boolean" if isinstance(value, str) and value.lower() in ("yes", "on", "no", "off", "true", "false"):
            return f"; did you mean {'true' if value.lower() in ('yes', 'on', 'true') else 'false'}?"
        case "integer" | "number" if isinstance(value, str):
            if isinstance(_resolved(value), (int, float)):
                return "; remove the quotes"
            if short := SHORT_SIZE.fullmatch(value):
                whole = float(short[1]) * THOUSANDS[short[2].lower()]
                return f"; write {whole:_.0f}" if whole.is_integer() else ""
        case "string" if isinstance(value, (int, float)) and "pattern" not in schema:
            return "; put it in quotes"
        case "array" if isinstance(value, str) and "\n" not in value:
            return f"; a list is written [{visible(value, 40)}] or with a - before each item"
    return ""


def _resolved(text: str) -> Scalar:
    try:
        return resolve(text)
    except ValueError:
        return None


def nearest(word: str, words: list[str], cutoff: float = 0.6) -> str | None:
    """The one of `words` that `word` is a likely misspelling of."""
    if len(word) > 64:  # comparing is quadratic, and nobody misspells that
        return None
    by_lower = {one.lower().replace("-", "_"): one for one in words}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def joined(section: str, key: str) -> str:
    """`pretrain.tokens`; for a section that one of several kinds has, `curate.sources.path (kind: files)`."""
    path, bracket, kind = section.partition(" (")
    return (f"{path}.{key}" if path else key) + bracket + kind


def elsewhere(key: str, section: str, shape: BlueprintSchema) -> list[str]:
    """The dotted paths of sections other than `section` that have this very key, the nearest first."""
    if key == "notes":
        return []
    paths = [path for path, schema in shape.sections() if key in schema["properties"] and path != section]

    def distance(path: str) -> tuple[int, int]:
        mine, theirs = section.split("."), path.split(".")
        shared = sum(1 for a, b in zip(mine, theirs, strict=False) if a == b)
        return -shared, len(theirs)

    return sorted(paths, key=distance)
