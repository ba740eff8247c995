"""What every part of a blueprint is made of: a frozen record that refuses keys it does not know."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


def _with_renamed(schema: dict[str, Any], section: type["Section"]) -> None:
    """Put a section's `renamed` into its JSON Schema, which the blueprint's reader explains errors by."""
    if section.renamed:
        schema["x-renamed"] = section.renamed


class Section(BaseModel):
    """A stage's configuration. Frozen; unknown keys are errors; a person may write `notes` in it.

    Fields named in `incidental` do not change what the stage produces (paths, devices, how often to save), so they
    stay out of the key under which its artifact is stored. `renamed` maps a former key to its present name: the error
    for the former one names it.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        json_schema_extra=_with_renamed,
    )

    incidental: ClassVar[frozenset[str]] = frozenset()
    renamed: ClassVar[dict[str, str]] = {}

    notes: str | None = Field(default=None, description="Anything you want to remember; it comes back in the report.")

    def result_affecting(self) -> dict[str, Any]:
        """The values that decide the stage's result, as plain JSON types: all but `notes` and the incidental ones."""
        excluded = {"notes"} | self.incidental
        values: dict[str, Any] = {}
        for name in type(self).model_fields:
            if name in excluded:
                continue
            value = getattr(self, name)
            values[name] = _plain(value)
        return values


def _plain(value: Any) -> Any:
    """`value` with every section in it reduced to what affects the result."""
    if isinstance(value, Section):
        return value.result_affecting()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
