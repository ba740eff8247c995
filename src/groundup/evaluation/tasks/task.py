"""A task's file: what is asked, of which rows, and how answers are marked."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from groundup.errors import GroundupError
from groundup.section import Section

Kind = Literal["multiple_choice", "loglikelihood", "rolling", "generation"]
_FIELD = re.compile(r"\{(\w+)\}")


class EvalTask(Section):
    """One task. Templates are texts in which `{field}` is replaced by the row's field."""

    name: str = Field(min_length=1)
    kind: Kind
    """`multiple_choice`: the likeliest of given choices; `loglikelihood`: is the answer what the model would write;
    `rolling`: bits per byte of whole texts; `generation`: an answer is written, and compared."""
    data: Path
    """JSONL, relative to the task's file."""
    prompt: str = ""
    choices: str | list[str] = Field(default_factory=list)
    """Templates, or the name of a field that holds a list."""
    answer: str | int = ""
    """The right choice's index (or a template that gives it), or the right answer's text."""
    examples: Path | None = None
    """JSONL of the examples before each question; without it the first rows of `data`, which are then not asked."""
    shots: int = Field(default=0, ge=0)
    """How many examples come before each question."""
    between: str = "\n\n"
    """Between examples, and between the last one and the question."""
    separator: str = " "
    """Between a prompt and its answer."""
    max_tokens: int = Field(default=64, ge=1)
    stop: list[str] = Field(default_factory=lambda: ["\n"])
    """Strings that end a written answer."""
    chat: bool = False
    """Ask in the model's chat format instead of as plain text."""
    filter: str | None = None
    """A regular expression; its first group is taken out of a written answer, its last match."""
    metric: Literal["exact", "contains", "f1"] = "exact"
    samples: int = Field(default=1, ge=1)
    """Answers drawn for each question, for pass@k."""
    temperature: float = Field(default=0.0, ge=0)
    limit: int | None = Field(default=None, ge=1)
    """At most so many rows."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "multiple_choice" and not self.choices:
            raise ValueError("a multiple choice needs choices")
        if self.kind in ("multiple_choice", "loglikelihood", "generation") and self.answer == "":
            raise ValueError(f"kind {self.kind} needs an answer")
        if self.kind == "rolling" and not self.prompt:
            raise ValueError("kind rolling needs a prompt: the text to read, such as {text}")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 need a temperature above 0: they would all be the same")
        return self


def read_task(path: Path) -> EvalTask:
    """Read a task's YAML; paths in it become absolute.

    Raises:
        GroundupError: the file can't be read, is no YAML, or has a wrong or unknown key.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise GroundupError(f"can't be read ({' '.join(str(error).split())})", where=str(path)) from error
    try:
        task = EvalTask.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join([*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")])
        raise GroundupError(what, where=str(path), do="see docs/evaluation.md") from error
    found = {name: path.parent / value for name in ("data", "examples") if (value := getattr(task, name)) is not None}
    return task.model_copy(update=found)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file.

    Raises:
        GroundupError: it can't be read, or a line is no JSON object; the line is named.
    """
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise GroundupError("is no JSON object", where=f"{path}:{number}")
                rows.append(row)
    except (OSError, ValueError, RecursionError) as error:
        raise GroundupError(f"can't be read ({error})", where=str(path), do="give a JSONL file in UTF-8") from error
    if not rows:
        raise GroundupError("has no rows", where=str(path))
    return rows


def fill(template: str, row: Mapping[str, Any]) -> str:
    """The template with the row's fields; raises GroundupError for a field that the row doesn't have.

    >>> fill("Q: {question}", {"question": "Why?"})
    'Q: Why?'
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in row:
            raise GroundupError(f"a row has no field {found[1]}", where=template, do=f"its fields: {', '.join(row)}")
        return str(row[found[1]])

    return _FIELD.sub(value, template)
