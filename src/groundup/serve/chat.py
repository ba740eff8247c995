"""`POST /v1/chat/completions`: answers, whole or streamed as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from groundup.errors import GroundupError
from groundup.serve.errors import REFUSALS, ApiError
from groundup.serve.models import Models
from groundup.serve.replies import ChatReply, Deltas, event
from groundup.serve.requests import ChatRequest
from groundup.serve.schemas import ChatCompletionBody, streaming
from groundup.serve.where import NO_DOCUMENTS, near_each
from groundup.serve.worker import Generation, Worker

if TYPE_CHECKING:  # they bring torch
    from groundup.inference.grammar import Grammar
    from groundup.inference.loading import LoadedModel
    from groundup.inference.scoring import TokenLogprob
    from groundup.serve.choices import Delta

T = TypeVar("T")


class EventStream(StreamingResponse):
    """Server-sent events of one generation, whose slot is free when the response is over, however it ends."""

    def __init__(self, events: AsyncIterator[str], generation: Generation) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.generation = generation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.generation.leave()


def routes(models: Models, worker: Worker) -> APIRouter:
    """The route, over these models."""
    router = APIRouter()

    @router.post("/v1/chat/completions", responses=REFUSALS | streaming(ChatCompletionBody))
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        loaded = await models.get(body.model)
        if body.where and loaded.documents is None:
            raise ApiError(400, NO_DOCUMENTS, param="where", code="no_documents")
        prompt = loaded.chat_prompt(body.chat(), body.usable_tools)
        check_length(len(prompt), loaded, "messages")
        generation = worker.submit(loaded, jobs_of(loaded, prompt, body))
        reply = ChatReply(models.check(body.model), taught_note(loaded, body.question), loaded.tokenizer)
        try:
            if body.stream:
                return await _streamed(generation, body, request, reply, loaded)
            return await _whole(generation, body, request, reply, loaded)
        except BaseException:  # also when the server cancels this request
            generation.leave()
            raise

    return router


def check_length(tokens: int, loaded: "LoadedModel", param: str, room: int = 1) -> None:
    """A 400 where a prompt leaves less than `room` tokens of the context."""
    if tokens > loaded.context - room:
        message = f"the {param} take {tokens} tokens, and the model's context has {loaded.context}"
        raise ApiError(400, message, param=param, code="context_length_exceeded")


def taught_note(loaded: "LoadedModel", question: str) -> dict[str, Any]:
    """Whether the question names something that the model was taught, and if not, what comes near."""
    if not loaded.subjects:
        return {"taught": True, "nearest": []}  # nothing is known of what it was taught, so nothing is claimed
    taught = loaded.taught.about(question) is not None
    return {"taught": taught, "nearest": [] if taught else loaded.taught.nearest(question)}


def jobs_of(loaded: "LoadedModel", prompt: list[int], body: ChatRequest) -> list[Any]:
    """One job for each choice."""
    from groundup.serve.choices import ChoiceRequest

    check_bias(loaded, body.bias)
    logprobs = body.top_logprobs if body.logprobs else None
    grammar, special = form_of(loaded, body), bool(body.usable_tools) and loaded.calls == "tokens"
    return [
        ChoiceRequest(
            prompt, body.limit, body.sampling(index), body.endings, logprobs, grammar=grammar, special=special
        )
        for index in range(body.n)
    ]


def form_of(loaded: "LoadedModel", body: ChatRequest) -> "Grammar | None":
    """What an answer must be; a 400 where its schema, or that of a function, isn't understood."""
    from groundup.inference.grammar import Grammar
    from groundup.inference.tools import call_grammar

    wanted = body.response_format
    if body.usable_tools and loaded.calls is None:
        message = "the chat template of this model has no form for tools that this server reads"
        raise ApiError(400, message, param="tools", code="unsupported_parameter")
    try:
        if body.usable_tools:
            return call_grammar(body.usable_tools, required=body.must_call, one_token=loaded.calls == "tokens")
        if wanted is not None:
            return Grammar.json(None if wanted.json_schema is None else wanted.json_schema.content)
    except GroundupError as error:
        param = "tools" if body.usable_tools else "response_format"
        raise ApiError(400, str(error), param=param, code="unusable_schema") from error
    return None


def check_bias(loaded: "LoadedModel", bias: dict[int, float]) -> None:
    """A 400 for a token that the model doesn't have."""
    for token in bias:
        if not 0 <= token < loaded.model.config.vocab_size:
            raise ApiError(400, f"logit_bias: there is no token {token}", param="logit_bias", code="unknown_token")


async def _whole(
    generation: Generation, body: ChatRequest, request: Request, reply: ChatReply, loaded: "LoadedModel"
) -> Response:
    texts, tokens = await unless_gone(request, collect(generation))
    deltas = [Deltas(bool(body.usable_tools)) for _ in texts]
    messages = [one.message(text) for one, text in zip(deltas, texts, strict=True)]
    reasons = [one.reason(answer.finish_reason) for one, answer in zip(deltas, generation.answers, strict=True)]
    if body.where:
        reply.note["where"] = await near_each(loaded, body.question, texts, body.where)
    return JSONResponse(reply.whole(messages, reasons, tokens if body.logprobs else None, generation.usage))


async def collect(generation: Generation) -> "tuple[list[str], list[list[TokenLogprob]]]":
    """The text and the tokens' log-probabilities of each choice, once all are complete."""
    texts = [""] * generation.count
    tokens: list[list[TokenLogprob]] = [[] for _ in range(generation.count)]
    async for index, piece in generation.pieces():
        texts[index] += piece.text
        tokens[index] += piece.tokens
    return texts, tokens


async def _streamed(
    generation: Generation, body: ChatRequest, request: Request, reply: ChatReply, loaded: "LoadedModel"
) -> Response:
    deltas, texts = [Deltas(bool(body.usable_tools)) for _ in range(generation.count)], [""] * generation.count

    def opening() -> list[dict[str, Any]]:
        return [reply.first(index) for index in range(generation.count)]

    def chunk(index: int, piece: "Delta") -> dict[str, Any]:
        texts[index] += piece.text
        return reply.chunk(index, deltas[index].of(piece.text), logprobs=piece.tokens)

    async def closing() -> list[dict[str, Any]]:
        chunks = []
        for index, answer in enumerate(generation.answers):
            if last := deltas[index].last():
                chunks.append(reply.chunk(index, last))
            chunks.append(reply.chunk(index, {}, deltas[index].reason(answer.finish_reason)))
        if body.where:
            where = await near_each(loaded, body.question, texts, body.where)
            chunks[-1]["groundup"] = reply.note | {"where": where}
        return chunks

    usage = (lambda: reply.usage(generation.usage)) if body.wants_usage else None
    return await streamed(generation, request, opening, chunk, closing, usage)


async def streamed(
    generation: Generation,
    request: Request,
    opening: Callable[[], list[dict[str, Any]]],
    chunk: "Callable[[int, Delta], dict[str, Any]]",
    closing: Callable[[], Awaitable[list[dict[str, Any]]]],
    usage: Callable[[], dict[str, Any]] | None,
) -> Response:
    """The chunks of a generation as server-sent events.

    The status is sent once the model has begun, so that a request it can't answer gets a plain error.
    """
    pieces = generation.pieces()
    first = await unless_gone(request, anext_or_none(pieces))
    more: dict[str, Any] = {"usage": None} if usage else {}

    async def events() -> AsyncIterator[str]:
        for data in opening():
            yield event(data | more)
        try:
            if first is not None:
                yield event(chunk(*first) | more)
            async for index, piece in pieces:
                yield event(chunk(index, piece) | more)
        except (GroundupError, ApiError) as error:
            yield event((error if isinstance(error, ApiError) else ApiError(400, str(error))).body)
            return
        for data in await closing():
            yield event(data | more)
        if usage:
            yield event(usage())
        yield event("[DONE]")

    return EventStream(events(), generation)


async def anext_or_none(items: AsyncIterator[T]) -> T | None:
    """The next item; None where there is none."""
    return await anext(items, None)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The work's result; `ClientDisconnect` when the client goes away before it is there."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
