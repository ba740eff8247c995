"""OpenAI's chat completion protocol, as far as this server speaks it: requests, answers, chunks and errors.

A parameter that would change the answer and is not honoured is an error; one whose value changes nothing (`n: 1`,
`tools: []`, null) or that only labels the request (`user`, `metadata`) is accepted. The default temperature is 0, the
most likely answer, not OpenAI's 1: small models err more when they are sampled.
"""

import difflib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

# Fields that label, store or route a request and never change its answer.
HARMLESS = {"user", "metadata", "store", "service_tier", "safety_identifier", "parallel_tool_calls"}
HARMLESS |= {"prompt_cache_key", "prompt_cache_retention"}

NEUTRAL: dict[str, tuple[Any, ...]] = {  # values that ask for nothing, of parameters that are not honoured otherwise
    "n": (1,),
    "stop": ([], ""),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
}


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
        super().__init__(status, detail=message, headers=headers)
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> Response:
        """ASCII alone: a message may quote what has no UTF-8 form."""
        return Response(json.dumps(self.body), self.status_code, self.headers, media_type="application/json")


def _joined(content: Any) -> Any:
    """A message's content as one string: clients may send a list of text parts instead."""
    if isinstance(content, str):
        content.encode()  # JSON may hold half a surrogate pair; the UnicodeEncodeError is a ValueError that says so
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("only parts of the form {type: text, text: ...} are understood")
    return _joined("".join(map(str, texts)))


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """Clients send an answer back with its empty `refusal`, `tool_calls` and the like."""
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if key in cls.model_fields or value not in (None, [], {})}


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool = Field(default=False, strict=True)
    include_obfuscation: bool = False  # padding against traffic analysis; none is sent


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    messages: list[Message] = Field(min_length=1)
    stream: bool = Field(default=False, strict=True)
    stream_options: StreamOptions | None = None
    max_completion_tokens: int = Field(default=128, ge=1, strict=True)
    max_tokens: int | None = Field(default=None, ge=1, strict=True)
    temperature: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False, strict=True)
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False, strict=True)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given

        def idle(key: str, value: Any) -> bool:
            return value is None or key in HARMLESS or value in NEUTRAL.get(key, ())

        return {key: value for key, value in given.items() if not idle(key, value)}

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        if self.max_tokens is not None and "max_completion_tokens" in self.model_fields_set:
            raise ValueError("give max_completion_tokens or max_tokens, not both")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return self

    @property
    def question(self) -> str:
        return self.messages[-1].content

    @property
    def limit(self) -> int:
        """Tokens that the answer may have."""
        return self.max_tokens or self.max_completion_tokens

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def chat(self) -> list[dict[str, str]]:
        """The messages as the model takes them; `developer` is OpenAI's newer word for `system`."""
        return [
            {"role": "system" if message.role == "developer" else message.role, "content": message.content}
            for message in self.messages
        ]


def refusal(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The 400 for a body that did not validate, from pydantic's errors; the first one is told."""
    error = errors[0]
    path = [str(part) if isinstance(part, str) else f"[{part}]" for part in error["loc"][1:]]
    param = ".".join(path).replace(".[", "[") or None
    if error["type"] == "json_invalid":
        return ApiError(400, f"the body is not valid JSON: {error['ctx']['error']}")
    if error["type"] in ("missing", "model_type", "model_attributes_type") and param is None:
        return ApiError(400, "the body must be a JSON object, sent with Content-Type: application/json")
    name = str(error["loc"][-1])
    if error["type"] == "extra_forbidden" and name in NEUTRAL:
        message = f"{name} is not supported with this value, which would change the answer; leave it out"
        return ApiError(400, message, param=param, code="unsupported_parameter")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, [*ChatRequest.model_fields, *Message.model_fields], n=1)
        message = f"unknown parameter {param}" + (f"; did you mean {near[0]}?" if near else "")
        return ApiError(400, message, param=param, code="unknown_parameter")
    what = str(error["msg"]).removeprefix("Value error, ")
    return ApiError(400, f"{param}: {what}" if param else what, param=param, code=None)


class Reply:
    """What the server says to one request, whole or in chunks that share an id."""

    def __init__(self, model: str, note: Mapping[str, Any]) -> None:
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self.note = dict(note)

    def whole(self, text: str, finish_reason: str, usage: Mapping[str, int]) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return self.head | {"object": "chat.completion", "choices": [choice], "usage": usage, "groundup": self.note}

    def chunk(self, delta: Mapping[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self.head | {"object": "chat.completion.chunk", "choices": [choice]}

    def first(self) -> dict[str, Any]:
        """The chunk that opens an answer; it carries what was taught about the question."""
        return self.chunk({"role": "assistant", "content": ""}) | {"groundup": self.note}

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """The chunk after the last, asked for by `stream_options.include_usage`."""
        return self.head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}


def event(data: Mapping[str, Any] | str) -> str:
    """One server-sent event. JSON has no line breaks outside its escapes, so one `data:` line always holds it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n"
