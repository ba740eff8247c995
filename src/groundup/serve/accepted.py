"""The schema of a request's body, where it is wider than its fields: what clients send along and asks for nothing."""

import json
from collections.abc import Mapping
from typing import Any


class BeyondSchemaError(ValueError):
    """A value that has the right form and can't be used: what no schema says, such as two fields that contradict.

    Args:
        code: of the error that the client gets.
    """

    def __init__(self, message: str, code: str = "invalid_combination") -> None:
        super().__init__(message)
        self.code = code


def whole_numbers(value: Any) -> Any:
    """A number, or those of lists in lists: JSON has one kind of number, and 3.0 is the integer 3."""
    if isinstance(value, list):
        return [whole_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def accept_idle(schema: dict[str, Any], harmless: set[str], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Let a body's schema accept what validation drops: null for what isn't required, labels, values that ask for
    nothing."""
    fields, required = schema["properties"], schema.get("required", ())
    for name, field in fields.items():
        if name not in required:
            fields[name] = nullable(field, *neutral.get(name, ()))
    for name in harmless - fields.keys():
        fields[name] = {"description": "A label: it changes no answer."}
    for name in neutral.keys() - fields.keys():
        fields[name] = {"enum": [*(_plain(value) for value in neutral[name]), None]}


def nullable(field: dict[str, Any], *more: Any) -> dict[str, Any]:
    """A field's schema that null, and `more` values, satisfy too."""
    about: dict[str, Any] = {key: field[key] for key in ("title", "default", "description") if key in field}
    rest = {key: value for key, value in field.items() if key not in about}
    kinds = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    added = [] if {"type": "null"} in kinds else [{"type": "null"}]
    return {**about, "anyOf": [*kinds, *({"const": _plain(value)} for value in more), *added]}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
