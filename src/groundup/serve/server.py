"""Serving a model folder over HTTP."""

import ipaddress
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn

from groundup.errors import GroundupError
from groundup.serve.app import create_app

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def serve(model_folder: Path, host: str = "127.0.0.1", port: int = 8000, key: str | None = None) -> None:
    """Serve the exported model in `model_folder` until interrupted.

    Other machines can reach it only through a `host` that is not this machine's own loopback, and then a `key` is
    needed. Raises `GroundupError` for that, for an address that can't be opened and for a folder that holds no model.
    """
    check_access(host, key)
    listener = _listener(host, port)
    with listener:
        from groundup.inference.chat_model import ChatModel  # torch, only once the address is known to be good

        model = ChatModel.load(model_folder)
        app = create_app(model, key=key, hosts=LOOPBACK_NAMES if key is None else None)
        shown = f"[{host}]" if ":" in host else host
        print(
            f"{model.name}: chat at http://{shown}:{listener.getsockname()[1]}/, API below /v1; Ctrl-C ends it",
            flush=True,
        )
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
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


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens on the address."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise GroundupError(f"can't listen on {host} port {port}: {error}", do="choose another port or host") from error
