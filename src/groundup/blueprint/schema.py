"""The blueprint's JSON Schema: editors complete keys, show what they mean and underline mistakes."""

from typing import Any

from groundup.blueprint.configuration import Blueprint

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a blueprint file; descriptions are the configurations' docstrings."""
    schema = Blueprint.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        section.pop("x-renamed", None)  # for this reader's errors, not for editors
        for value in section.get("properties", {}).values():
            value.pop("title", None)
            if "$ref" in value:
                value.pop("default", None)  # a whole section, spelt out: the section's own schema says it better
    return {"$schema": DIALECT, **schema}
