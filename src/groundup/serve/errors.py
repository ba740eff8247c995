"""Errors as OpenAI's API has them: `{"error": {message, type, param, code}}`."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import HTTPException, Response

from groundup.serve.accepted import BeyondSchemaError
from groundup.serve.schemas import ErrorBody

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "the request is wrong; the error names the parameter"},
    401: {"model": ErrorBody, "description": "a key is needed"},
    404: {"model": ErrorBody, "description": "there is no such model"},
    413: {"model": ErrorBody, "description": "the body is too large"},
    429: {"model": ErrorBody, "description": "too many requests are waiting"},
    "4XX": {"model": ErrorBody, "description": "the request is wrong in another way"},
}

LONGEST = 300  # characters of a message: what a client sent is not sent back by the megabyte


class ApiError(HTTPException):
    """An answer of the form `{"error": {message, type, param, code}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        message, param = shortened(message), None if param is None else shortened(param)
        super().__init__(status, detail=message, headers=headers)
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> Response:
        """ASCII alone: a message may quote what has no UTF-8 form."""
        return Response(json.dumps(self.body), self.status_code, self.headers, media_type="application/json")


def shortened(text: str) -> str:
    """`text`, or its beginning and an ellipsis."""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def refusal(errors: Sequence[Mapping[str, Any]], unsupported: Mapping[str, Any], known: Iterable[str]) -> ApiError:
    """The 400 for a body that did not validate, from pydantic's errors; the first one is reported.

    Args:
        unsupported: parameters that OpenAI has and this server doesn't.
        known: parameters that this server has, to suggest one that looks like an unknown one.
    """
    error = errors[0]
    path = [str(part) if isinstance(part, str) else f"[{part}]" for part in error["loc"][1:]]
    param = ".".join(path).replace(".[", "[") or None
    if error["type"] == "json_invalid":
        return ApiError(400, f"the body is not valid JSON: {error['ctx']['error']}")
    if error["type"] in ("missing", "model_type", "model_attributes_type", "dict_type") and param is None:
        return ApiError(400, "the body must be a JSON object, sent with Content-Type: application/json")
    name = str(error["loc"][-1])
    if error["type"] == "extra_forbidden" and name in unsupported:
        message = f"{name} is not supported with this value, which would change the answer; leave it out"
        return ApiError(400, message, param=param, code="unsupported_parameter")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name[:100], list(known), n=1)
        message = f"unknown parameter {param}" + (f"; did you mean {near[0]}?" if near else "")
        return ApiError(400, message, param=param, code="unknown_parameter")
    what, cause = str(error["msg"]).removeprefix("Value error, "), error.get("ctx", {}).get("error")
    code = cause.code if isinstance(cause, BeyondSchemaError) else None
    return ApiError(400, f"{param}: {what}" if param else what, param=param, code=code)
