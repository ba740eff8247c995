"""What every request passes before a route sees it: host, key, size of the body; and the headers of every response."""

from secrets import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup.serve.metrics import Metrics
from groundup.serve.protocol import ApiError

LARGEST_BODY = 1 << 20  # bytes; far more than any context holds

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware.

    Args:
        key: what clients must send as `Authorization: Bearer KEY` to everything but the page and `/health`.
        hosts: the names under which the server may be asked. Without this check a web page elsewhere could reach a
            server that needs no key by pointing its own name at 127.0.0.1 (DNS rebinding). None admits every name.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, hosts: frozenset[str] | None, metrics: Metrics) -> None:
        self.app, self.key, self.hosts, self.metrics = app, key, hosts, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.responded(message["status"])
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise _too_large()
            return message

        refused = self._refused(scope)
        if refused is not None:
            return await refused.response()(scope, receive, send_on)
        return await self.app(scope, receive_bounded, send_on)

    def _refused(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if self.hosts is not None and _hostname(headers.get("host", "")) not in self.hosts:
            return ApiError(403, "this server answers only to its own name; serve with a key to lift that")
        guarded = scope["path"].startswith("/v1") or scope["path"] == "/metrics"
        if self.key is not None and guarded:
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
        return _too_large() if length.isdecimal() and int(length) > LARGEST_BODY else None


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {LARGEST_BODY} bytes", code="request_too_large")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # a bracket without its partner
        return None
