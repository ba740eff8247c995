"""Limits on connections before any key is asked: how many there are, and how long one may take over its headers."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
MAX_CONNECTIONS = 512


class PatientConnection(H11Protocol):
    """HTTP/1.1 that closes a connection whose request line and headers are not complete in time.

    uvicorn itself limits only how long a connection may idle after an answer; one that sends nothing, or a byte now and
    then, would stay open for ever.
    """

    seconds = HEADER_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
        self._deadline = self.loop.call_later(self.seconds, transport.close)

    def handle_events(self) -> None:
        before: Any = self.cycle
        super().handle_events()
        if self.cycle is not before and self._deadline is not None:  # headers are complete
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.timeout_keep_alive + self.seconds, self.transport.close)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
