"""The bodies of the server's answers as `/openapi.json` describes them; `replies.py` makes those of chats and texts."""

from typing import Any, Literal

from pydantic import BaseModel

from groundup.corpus.documents import NearDocument
from groundup.serve.functions import EarlierCall

Finish = Literal["stop", "length", "tool_calls"]


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every answer that is no success."""

    error: ErrorDetail


class Usage(BaseModel):
    """Tokens of the prompts and of the answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    """The assistant's message; its content is null where it is nothing but calls."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    tool_calls: list[EarlierCall] = []


class ChatChoice(BaseModel):
    """One of the answers to a chat."""

    index: int
    message: AnswerMessage
    logprobs: dict[str, Any] | None
    finish_reason: Finish


class ChatCompletionBody(BaseModel):
    """The answers to a chat. `groundup` says whether they are about something taught, and where they come from."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    groundup: dict[str, Any]


class CompletionChoice(BaseModel):
    """One of the continuations of the prompts."""

    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: Finish


class CompletionBody(BaseModel):
    """The continuations of prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage


class EmbeddingEntry(BaseModel):
    """The embedding of one input: numbers, or base64 of float32 in little-endian order."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens of the inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingBody(BaseModel):
    """The embeddings of the inputs, in their order."""

    object: Literal["list"]
    data: list[EmbeddingEntry]
    model: str
    usage: EmbeddingUsage


class ModelCard(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "groundup"


class AboutModel(BaseModel):
    """What the chat page shows of the first model."""

    introduction: str
    samples: list[str]
    documents: bool
    """Whether `/where` can look through its training documents."""


class ModelList(BaseModel):
    """The models, the first of which answers where none is named."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
    groundup: AboutModel


class TokenList(BaseModel):
    """The ids of a text."""

    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizedText(BaseModel):
    """The text of ids, under both names that clients know."""

    content: str
    prompt: str


class WhereBody(BaseModel):
    """The training documents nearest to an answer, the nearest first."""

    documents: list[NearDocument]


class HealthBody(BaseModel):
    """The server is there."""

    status: Literal["ok"] = "ok"


def streaming(body: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """An answer that is such a body, or the server-sent events of its chunks."""
    events = {"schema": {"type": "string", "description": "server-sent events, the last of which is [DONE]"}}
    return {200: {"model": body, "content": {"text/event-stream": events}}}
