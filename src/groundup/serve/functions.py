"""`tools` of a chat's request: functions that the answer may call, calls of earlier answers, and which are wanted."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from groundup.serve.accepted import BeyondSchemaError

MAX_TOOLS = 64
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionSpec(BaseModel):
    """A function as its caller describes it; all of `parameters` is kept to, so `strict` changes nothing."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of its arguments, an object."""
    strict: bool | None = Field(default=None, exclude=True, strict=True)


class FunctionTool(BaseModel):
    """A function that the answer may call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: FunctionSpec

    def described(self) -> dict[str, Any]:
        """As chat templates take it."""
        return self.model_dump(exclude_none=True)


class NamedFunction(BaseModel):
    """A function's name."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class ChosenTool(BaseModel):
    """The one function that the answer must call."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: NamedFunction


class CalledFunction(BaseModel):
    """What an earlier answer called."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _is_object(cls, arguments: str) -> str:
        try:
            found = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise BeyondSchemaError("the arguments are no JSON", "invalid_json") from error
        if not isinstance(found, dict):
            raise BeyondSchemaError("the arguments are no JSON object", "invalid_json")
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is a ValueError
        return arguments


class EarlierCall(BaseModel):
    """One of the calls of an earlier answer."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction


ToolChoice = Literal["none", "auto", "required"] | ChosenTool
