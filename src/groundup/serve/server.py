"""Serving models over HTTP."""

import ipaddress
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from groundup.errors import GroundupError
from groundup.serve.app import create_app
from groundup.serve.connection import PatientConnection

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.loading import LoadedModel

GRACE_SECONDS = 5  # for answers under way when the server is stopped

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def serve(
    offered: "Mapping[str, Callable[[], LoadedModel]]",
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str | None = None,
    origins: frozenset[str] = frozenset(),
) -> None:
    """Serve models until interrupted; answers under way then have a few seconds to end.

    Other machines can reach it only through a `host` that is not this machine's own loopback, and then a `key` is
    needed.

    Args:
        offered: public names and how to load what they mean; the first answers requests that name none.
        origins: of pages elsewhere that may call the API (CORS); `*` admits all.

    Raises:
        GroundupError: a host without a key, an address that can't be opened, or a model that can't be loaded.
    """
    check_access(host, key)
    listener = listen(host, port)
    with listener:
        import torch  # only once the address is known to be good

        torch.set_num_threads(1)  # one row at a time: more threads wait for each other longer than they compute
        name = next(iter(offered))
        first = offered[name]()
        from groundup.serve.choices import warm

        warm(first)
        app = create_app(
            {**offered, name: lambda: first},
            key=key,
            hosts=LOOPBACK_NAMES if key is None else None,
            origins=origins,
        )
        shown = f"[{host}]" if ":" in host else host
        print(
            f"{', '.join(offered)}: chat at http://{shown}:{listener.getsockname()[1]}/, API below /v1; Ctrl-C ends it",
            flush=True,
        )
        run_until_stopped(app, listener)


def run_until_stopped(app: FastAPI, listener: socket.socket) -> None:
    """Serve an application until it is interrupted."""
    config = uvicorn.Config(
        app, log_level="warning", http=PatientConnection, timeout_graceful_shutdown=GRACE_SECONDS, ws="none"
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after an orderly end
        uvicorn.Server(config).run(sockets=[listener])


def check_access(host: str, key: str | None) -> None:
    """Raise `GroundupError` where anyone on the network could use the model without a key."""
    if key is not None and not (key.isascii() and key.isprintable() and key and " " not in key):
        raise GroundupError("a key is made of ASCII letters, digits and signs, without spaces", do="choose another")
    if key is None and not _is_loopback(host):
        raise GroundupError(
            f"serving on {host} without a key would open the model to everyone who can reach this machine",
            do="give a key, or serve on 127.0.0.1",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise GroundupError(f"can't listen on {host} port {port}: {error}", do="choose another port or host") from error
