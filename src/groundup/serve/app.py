"""The web application: the page, the API and what operators read.

    GET  /                      the chat page          GET  /health        {"status": "ok"}
    GET  /v1/models[/NAME]      the models             GET  /metrics       Prometheus text
    POST /v1/chat/completions   answers                GET  /openapi.json  the API's schema
    POST /v1/completions        continuations, with the prompt's log-probabilities where asked for
    POST /v1/embeddings         the mean of a text's features, of length 1
    POST /tokenize, /detokenize
    POST /where                 the training documents nearest to an answer

In addition to OpenAI's fields an answer has `groundup: {taught, nearest}`, and the list of models has
`groundup: {introduction, samples, documents}`, which the page shows.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from groundup.errors import GroundupError
from groundup.serve import chat, texts, where
from groundup.serve.access import Access
from groundup.serve.errors import REFUSALS, ApiError, refusal
from groundup.serve.metrics import Metrics
from groundup.serve.models import Models
from groundup.serve.requests import KNOWN, NEUTRAL
from groundup.serve.schemas import AboutModel, HealthBody, ModelCard, ModelList
from groundup.serve.worker import Backend, Worker

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.loading import LoadedModel

PAGE = Path(__file__).parent / "page"


def create_app(
    offered: "Mapping[str, Callable[[], LoadedModel]]",
    *,
    key: str | None,
    slots: int = 8,
    queue: int = 32,
    answer_seconds: float = 300.0,
    hosts: frozenset[str] | None = None,
    origins: frozenset[str] = frozenset(),
    backend: Backend | None = None,
) -> FastAPI:
    """The application that serves some models.

    Args:
        offered: public names and how to load what they mean; the first answers requests that name none.
        key: what clients must send as a bearer token; None asks for none.
        slots: how many requests are answered at once.
        queue: how many more may wait; the next one gets 429.
        answer_seconds: after so long an answer is ended as it is, with `length`.
        hosts: the host names under which the server may be asked; None admits every name.
        origins: of pages elsewhere that may call the API (CORS); `*` admits all.
        backend: what generates; without it, an inference engine for each model.
    """
    from groundup.serve.choices import Engines

    metrics, models = Metrics(), Models(offered)
    worker = Worker(metrics, slots=slots, waiting=queue, seconds=answer_seconds, backend=backend or Engines(slots))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    # FastAPI's own documentation pages load scripts from elsewhere.
    app = FastAPI(title="groundup", docs_url=None, redoc_url=None, openapi_url="/openapi.json", lifespan=lifespan)
    app.add_middleware(Access, key=key, hosts=hosts, origins=origins, metrics=metrics)
    answer_errors(app, metrics)
    serve_files(app, PAGE)
    app.include_router(chat.routes(models, worker))
    app.include_router(texts.routes(models, worker))
    app.include_router(where.routes(models))

    @app.get("/health")
    async def health() -> HealthBody:
        return HealthBody()

    @app.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def list_models() -> ModelList:
        loaded = await models.get(None)
        has_documents = loaded.documents is not None
        about = AboutModel(introduction=loaded.introduction, samples=list(loaded.examples), documents=has_documents)
        return ModelList(data=[ModelCard(id=name) for name in models.offered], groundup=about)

    @app.get("/v1/models/{name:path}", responses=REFUSALS)
    async def one_model(name: str) -> ModelCard:
        return ModelCard(id=models.check(name))

    return app


def answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Give every error OpenAI's form."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error, ApiError):
            return error.response()
        message = f"{error.detail}: {request.method} {request.url.path}"
        return ApiError(error.status_code, message, headers=error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def bad_body(request: Request, error: RequestValidationError) -> Response:
        return refusal(error.errors(), NEUTRAL, KNOWN).response()

    @app.exception_handler(GroundupError)
    async def user_error(request: Request, error: GroundupError) -> Response:
        return ApiError(400, str(error), code="request_refused").response()

    @app.exception_handler(ClientDisconnect)
    async def nobody_there(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # never sent; for the counters (nginx's number for it)

    @app.exception_handler(Exception)
    async def own_error(request: Request, error: Exception) -> Response:
        metrics.responded(500)  # this handler runs outside of the middleware, and the error reaches the server's log
        return ApiError(500, "the server failed; its log has the details", kind="server_error").response()


def serve_files(app: FastAPI, folder: Path, only: Sequence[str] | None = None) -> None:
    """A page's files, or some of them; `index.html` is the page itself.

    They are open even where a key is set: they hold nothing of the model.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".html", ".css", ".js") or (only is not None and path.name not in only):
            continue

        async def file(path: Path = path) -> FileResponse:
            return FileResponse(path, headers={"Cache-Control": "no-cache"})

        route = "/" if path.name == "index.html" else f"/{path.name}"
        app.add_api_route(route, file, methods=["GET"], response_model=None, include_in_schema=False)
