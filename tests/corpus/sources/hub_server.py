"""A hub like Hugging Face, of this machine: lists a data set in pages and gives its files with ranges; it can fail."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

DATASET = "someone/pages"
_ADDRESS = re.compile(r"/(api/)?datasets/([^/]+/[^/]+)/(?:tree|resolve)/main/?(.*)")


class Hub:
    """What the server has, does and was asked."""

    def __init__(self) -> None:
        self.dataset = DATASET
        self.files: dict[str, bytes] = {}
        self.token = ""  # without it, all is refused
        self.failures: list[int] = []  # statuses of the next answers to file requests; 0: breaks off in the middle
        self.asked: list[tuple[str, str, str]] = []  # method, path, range
        self.sent = 0  # bytes of files
        self.address = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.hub.asked.append((self.command, url.path, self.headers.get("Range", "")))
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._empty(401)
        elif (address := _ADDRESS.fullmatch(url.path)) is None or address[2] != self.hub.dataset:
            self._empty(404)
        elif address[1]:
            self._list(parse_qs(url.query))
        else:
            self._file(address[3])

    def _list(self, query: dict[str, list[str]]) -> None:
        at = int(query.get("cursor", ["0"])[0])
        rows = [{"type": "directory", "path": "data", "size": 0}]
        rows += [{"type": "file", "path": path, "size": len(data)} for path, data in sorted(self.hub.files.items())]
        body = json.dumps(rows[at : at + 2]).encode()
        self.send_response(200)
        if at + 2 < len(rows):
            more = f"{self.hub.address}{urlsplit(self.path).path}?recursive=true&cursor={at + 2}"
            self.send_header("Link", f'<{more}>; rel="next"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: str) -> None:
        data = self.hub.files.get(path)
        if data is None:
            self._empty(404)
            return
        fate = 200
        if self.command == "GET" and self.hub.failures:
            fate = self.hub.failures.pop(0)
        if fate > 200:
            self._empty(fate)
            return
        first, last = 0, len(data)
        if asked := self.headers.get("Range"):
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(len(data), int(end) + 1) if end else len(data)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last - first))
        self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            some = data[first:last] if fate else data[first : (first + last) // 2]
            self.hub.sent += len(some)
            self.wfile.write(some)
        self.close_connection = True

    def _empty(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def served() -> Iterator[Hub]:
    """A hub on this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()
