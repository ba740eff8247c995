"""What every request passes before a route sees it: host, origin, key, size and pace of the body; and all headers."""

import asyncio
from secrets import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serve.errors import ApiError
from groundup.serve.metrics import Metrics

MAX_BODY = 1 << 20  # bytes; far more than any context holds
BODY_SECONDS = 30.0  # between the parts of a body
OPEN = ("/", "/health")  # with the page's files: what needs no key

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Access:
    """ASGI middleware.

    Args:
        key: what clients must send as `Authorization: Bearer KEY` to everything but the page and `/health`.
        hosts: the names under which the server may be asked. Without this check a web page elsewhere could reach a
            server that needs no key by pointing its own name at 127.0.0.1 (DNS rebinding). None admits every name.
        origins: of pages elsewhere that may call the API; `*` admits all.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        key: str | None,
        hosts: frozenset[str] | None,
        origins: frozenset[str],
        metrics: Metrics,
    ) -> None:
        self.app, self.key, self.hosts, self.origins, self.metrics = app, key, hosts, origins, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        shared = self._shared_with(headers.get("origin"))

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.responded(message["status"])
                MutableHeaders(scope=message).update(HEADERS | shared)
            await send(message)

        received, complete = 0, False

        async def receive_bounded() -> Message:
            nonlocal received, complete
            try:  # a complete body is followed by the client's leaving, which may come late
                message = await asyncio.wait_for(receive(), None if complete else BODY_SECONDS)
            except TimeoutError as error:
                raise ApiError(408, "the body did not arrive in time", code="request_timeout") from error
            received += len(message.get("body", b""))
            complete = complete or not message.get("more_body", False)
            if received > MAX_BODY:
                raise _too_large()
            return message

        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            return await self._preflight(shared)(scope, receive, send_on)
        refused = self._refused(scope, headers)
        if refused is not None:
            return await refused.response()(scope, receive, send_on)
        return await self.app(scope, receive_bounded, send_on)

    def _shared_with(self, origin: str | None) -> dict[str, str]:
        """The headers that let a page of another origin read the answer; none where it may not."""
        if origin is None or not ({origin, "*"} & self.origins):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def _preflight(self, shared: dict[str, str]) -> Response:
        """The answer to a browser's question whether another origin's page may ask; it carries no key."""
        if not shared:
            return ApiError(403, "pages of this origin may not call this server; serve with --origin").response()
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        }
        return Response(status_code=204, headers=allowed)

    def _refused(self, scope: Scope, headers: Headers) -> ApiError | None:
        if self.hosts is not None and _hostname(headers.get("host", "")) not in self.hosts:
            return ApiError(403, "this server answers only to its own name; serve with a key to lift that")
        path = scope["path"]
        is_open = path in OPEN or (path.count("/") == 1 and path.endswith((".js", ".css")))
        if self.key is not None and not is_open:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not compare_digest(given.strip().encode("latin-1"), self.key.encode()):
                return ApiError(
                    401,
                    "a valid key is needed: send Authorization: Bearer KEY",
                    kind="authentication_error",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        length = headers.get("content-length", "0")
        return _too_large() if length.isdecimal() and int(length[:20]) > MAX_BODY else None


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {MAX_BODY} bytes", code="request_too_large")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # a bracket without its partner
        return None
