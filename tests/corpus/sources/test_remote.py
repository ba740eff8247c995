"""Remote files are read like local ones, here from a web server on this machine."""

import gzip
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from groundup.corpus.documents import Document
from groundup.corpus.sources import pieces, read_piece, source_names
from groundup.corpus.sources.configuration import Remote
from groundup.errors import GroundupError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_files_on_a_web_server(server: tuple[Path, str]) -> None:
    folder, address = server
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "One.", "url": "https://a"}\n{"text": "Two."}\n'))
    (folder / "page.txt").write_text("A page.")
    found = []
    for name in ("rows.jsonl.gz", "page.txt"):
        source = Remote(kind="remote", address=f"{address}/{name}", licence="CC0-1.0")
        (piece,) = pieces(source, *source_names([source], Path()), Path())
        assert piece.bytes == (folder / name).stat().st_size
        found += list(read_piece(piece, source))
    assert all(isinstance(one, Document) and one.licence == "CC0-1.0" for one in found)
    assert [(one.source, one.origin, one.offset, one.url, one.text) for one in found if isinstance(one, Document)] == [
        ("rows.jsonl.gz", "rows.jsonl.gz:1", 0, "https://a", "One."),
        ("rows.jsonl.gz", "rows.jsonl.gz:2", 37, "", "Two."),
        ("page.txt", "page.txt", -1, "", "A page."),
    ]


def test_what_is_not_there_is_an_error(server: tuple[Path, str]) -> None:
    folder, address = server
    with pytest.raises(GroundupError, match=r"none\.txt: can't be read .*; check the address"):
        pieces(Remote(kind="remote", address=f"{address}/none.txt"), "src", Path())
    (folder / "gone.txt").write_text("A page.")
    source = Remote(kind="remote", address=f"{address}/gone.txt")
    (piece,) = pieces(source, "src", Path())
    (folder / "gone.txt").write_text("A page, and then some.")
    with pytest.raises(GroundupError, match=r"gone\.txt: can't be read \(22 of 7 bytes came\)"):
        list(read_piece(piece, source))
    (folder / "gone.txt").unlink()
    with pytest.raises(GroundupError, match=r"gone\.txt: can't be read"):
        list(read_piece(piece, source))


def test_no_address_but_those_of_the_network() -> None:
    for address in ("documents", "file:///etc", "s3:/bucket"):
        with pytest.raises(ValidationError, match="must begin with one of s3://"):
            Remote(kind="remote", address=address)
