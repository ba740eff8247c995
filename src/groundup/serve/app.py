"""The web application: the page, the API and what operators read.

    GET  /                      the chat page          GET /health    {"status": "ok"}
    GET  /v1/models[/NAME]      the one model          GET /metrics   Prometheus text
    POST /v1/chat/completions   an answer, whole or streamed as server-sent events

Beside OpenAI's fields an answer has `groundup: {taught, nearest}`, and the list of models has
`groundup: {introduction, samples}`, from which the page speaks.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from groundup.errors import GroundupError
from groundup.serve.gate import Gate
from groundup.serve.generation import Desk, Generation
from groundup.serve.metrics import Metrics
from groundup.serve.protocol import ApiError, ChatRequest, Reply, event, refusal

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.chat_model import ChatModel

PAGE = Path(__file__).parent / "page"


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


def create_app(model: "ChatModel", *, key: str | None, queue: int = 8, hosts: frozenset[str] | None = None) -> FastAPI:
    """The application that serves `model`.

    Args:
        model: an exported model.
        key: what clients must send as a bearer token; None asks for none.
        queue: how many requests may wait while one is answered; the next one gets 429.
        hosts: the host names under which the server may be asked; None admits every name.
    """
    metrics = Metrics()
    desk = Desk(model, metrics, waiting=queue)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(title="groundup", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Gate, key=key, hosts=hosts, metrics=metrics)
    _answer_errors(app, metrics)
    _serve_page(app)
    card = {"id": model.name, "object": "model", "created": 0, "owned_by": "groundup"}
    about = {"introduction": model.introduction(), "samples": model.examples}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def prometheus() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [card], "groundup": about}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        _known(name, model)
        return card

    @app.post("/v1/chat/completions")
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        _known(body.model, model)
        generation = desk.admit(body)
        try:
            if body.stream:
                return await _streamed(generation, body, request, model.name)
            return await _whole(generation, request, model.name)
        except BaseException:  # also when the server cancels this request
            generation.leave()
            raise

    return app


async def _whole(generation: Generation, request: Request, name: str) -> Response:
    async def everything() -> str:
        return "".join([piece async for piece in generation.pieces()])

    text = await _unless_gone(request, asyncio.create_task(everything()))
    outcome = generation.outcome()
    return JSONResponse(Reply(name, asdict(generation.note)).whole(text, outcome.finish_reason, outcome.usage))


async def _streamed(generation: Generation, body: ChatRequest, request: Request, name: str) -> Response:
    pieces = generation.pieces()

    async def first_piece() -> str:
        return await anext(pieces, "")

    # The status is sent once the model has begun, so that a request it can't answer gets a plain error.
    first = await _unless_gone(request, asyncio.create_task(first_piece()))
    reply = Reply(name, asdict(generation.note))

    async def events() -> AsyncIterator[str]:
        more: dict[str, Any] = {"usage": None} if body.wants_usage else {}
        yield event(reply.first() | more)
        try:
            if first:
                yield event(reply.chunk({"content": first}) | more)
            async for piece in pieces:
                yield event(reply.chunk({"content": piece}) | more)
        except (GroundupError, ApiError) as error:
            yield event(_as_api_error(error).body)
            return
        outcome = generation.outcome()
        yield event(reply.chunk({}, outcome.finish_reason) | more)
        if body.wants_usage:
            yield event(reply.usage(outcome.usage))
        yield event("[DONE]")

    return EventStream(events(), generation)


async def _unless_gone(request: Request, work: asyncio.Task[str]) -> str:
    """The task's result; `ClientDisconnect` when the client goes away before it is there."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.create_task(gone())
    try:
        await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        watch.cancel()
        work.cancel()


def _known(name: str | None, model: "ChatModel") -> None:
    if name is not None and name != model.name:
        message = f"there is no model {name!r} here; this server has {model.name!r}"
        raise ApiError(404, message, param="model", code="model_not_found")


def _as_api_error(error: GroundupError | ApiError) -> ApiError:
    return error if isinstance(error, ApiError) else ApiError(400, str(error))


def _answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Give every error OpenAI's form."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error, ApiError):
            return error.response()
        message = f"{error.detail}: {request.method} {request.url.path}"
        return ApiError(error.status_code, message, headers=error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def bad_body(request: Request, error: RequestValidationError) -> Response:
        return refusal(error.errors()).response()

    @app.exception_handler(GroundupError)
    async def user_error(request: Request, error: GroundupError) -> Response:
        return _as_api_error(error).response()

    @app.exception_handler(ClientDisconnect)
    async def nobody_there(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # never sent; for the counters (nginx's number for it)

    @app.exception_handler(Exception)
    async def own_error(request: Request, error: Exception) -> Response:
        metrics.responded(500)  # this handler stands outside the gate, and the error goes on to the server's log
        return ApiError(500, "the server failed; its log says how", kind="server_error").response()


def _serve_page(app: FastAPI) -> None:
    """The page's three files. They are open even where a key is set: they hold nothing of the model."""
    routes: Mapping[str, str] = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
    for route, name in routes.items():

        async def file(path: Path = PAGE / name) -> FileResponse:
            return FileResponse(path, headers={"Cache-Control": "no-cache"})

        app.add_api_route(route, file, methods=["GET"], response_model=None)
