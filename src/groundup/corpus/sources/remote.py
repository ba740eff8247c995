"""Files that lie elsewhere: object stores, web servers and Hugging Face data sets.

Web servers and the hub are read by `web.py` and `hub.py`, object stores through Daft. The network is used for addresses
that the user has written, and for nothing else. A file is fetched when its piece is read, to a temporary file that goes
when the piece is done: no more of a source lies here than is being read. Of a large Parquet file only the row groups of
the piece are fetched, into a sparse file that has them at their positions. Credentials are those that the store's own
tools use (environment, configuration files).
"""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from groundup.corpus.sources import hub, web
from groundup.corpus.sources.configuration import Remote
from groundup.corpus.sources.cutting import by_size
from groundup.corpus.sources.door import parts_of
from groundup.corpus.sources.kinds import format_of
from groundup.corpus.sources.piece import Piece
from groundup.errors import GroundupError

_CHUNK = 1 << 22
_MAGIC = re.compile(r"[*?[]")
_FOOTER = 1 << 20  # of a Parquet file: what is fetched first; few have a longer one
_CUT_FILES = 64  # of sources with more, files are read whole: the footers alone would take minutes


def remote_pieces(source: Remote, name: str, piece_bytes: int) -> list[Piece]:
    """The pieces of each file at the source's address, sorted by address.

    Args:
        source: what is read.
        name: its name.
        piece_bytes: larger Parquet files are cut at row groups.

    Raises:
        GroundupError: it can't be reached, or nothing is there.
    """
    found = []
    files = _listed(source.address)
    for address, size in files:
        relative = _relative(address, source.address)
        format = source.format or format_of(relative)[0]
        skipped = "" if format else "unsupported-type"
        one = Piece(name, address, relative, format, size, skipped=skipped)
        if format == "parquet" and size > piece_bytes and len(files) <= _CUT_FILES and relative.endswith(".parquet"):
            with _sparse(one, size) as (path, _):
                parts = parts_of(path, format, source)
            found += by_size(one, [part.bytes for part in parts], [part.rows for part in parts], piece_bytes)
        else:
            found.append(one)
    return found


@contextmanager
def fetched(piece: Piece, source: Remote) -> Iterator[Path]:
    """The piece's file, here while it is being read.

    Raises:
        GroundupError: it can't be reached, or not to its end.
    """
    if not piece.format:
        yield Path(piece.relative)  # which nobody reads
        return
    if piece.end >= 0:
        with _sparse(piece, _size(piece.address)) as (path, file):
            for part in parts_of(path, piece.format, source)[piece.start : piece.end]:
                _fetch(piece.address, file, part.start, part.end)
            file.flush()
            yield path
        return
    with tempfile.NamedTemporaryFile(suffix=PurePosixPath(piece.relative).suffix.lower()) as whole:
        _fetch(piece.address, whole, 0, -1)
        whole.flush()
        size = os.fstat(whole.fileno()).st_size
        if piece.bytes and size != piece.bytes:
            raise _unreachable(piece.address, f"{size:,} of {piece.bytes:,} bytes came")
        yield Path(whole.name)


@contextmanager
def _sparse(piece: Piece, size: int) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file of the size of the piece's Parquet file, with nothing but its footer in it."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.truncate(size)
        start = max(0, size - _FOOTER)
        _fetch(piece.address, file, start, size)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little") + 8
        if size - length < start and length <= size:
            _fetch(piece.address, file, size - length, start)
        file.flush()
        yield Path(file.name), file


class _WebFile(NamedTuple):
    """A file on the web: its address, and what is sent with a request for it."""

    url: str
    headers: dict[str, str]


def _on_the_web(address: str) -> _WebFile | None:
    if address.startswith(hub.SCHEME):
        return _WebFile(hub.url_of(address), hub.credentials())
    return _WebFile(address, {}) if address.startswith(("http://", "https://")) else None


def _listed(address: str) -> list[tuple[str, int]]:
    """`(address, bytes)` of each file, sorted by address."""
    if address.startswith(hub.SCHEME):
        return hub.listed(address)
    if _on_the_web(address) is not None:
        return [(address, max(0, _size(address)))]
    daft = _daft()
    try:
        found = daft.from_glob_path(address).to_pydict()
    except _failures(daft) as error:
        raise _unreachable(address, error) from error
    return sorted((path, int(size or 0)) for path, size in zip(found["path"], found["size"], strict=True))


def _size(address: str) -> int:
    found = _on_the_web(address)
    if found is not None:
        return web.size_of(found.url, address, found.headers)
    return dict(_listed(address))[address]


def _fetch(address: str, file: IO[bytes], start: int, end: int) -> None:
    """Write the bytes from `start` to `end` (-1: all) to the same positions of `file`."""
    found = _on_the_web(address)
    if found is not None:
        web.fetch(found.url, address, file, start, end, found.headers)
        return
    daft, at, wait = _daft(), start, web.WAIT
    for tries_left in range(web.TRIES - 1, -1, -1):
        try:
            with daft.File(address).open() as there:
                there.seek(at)
                file.seek(at)
                while chunk := there.read(_CHUNK if end < 0 else min(_CHUNK, end - at)):
                    file.write(chunk)
                    at += len(chunk)
            return
        except _failures(daft) as error:
            if not tries_left or "not found" in str(error).lower():
                raise _unreachable(address, error) from error
            time.sleep(wait)
            wait *= 2


def _daft() -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")  # it sends usage statistics otherwise
    import daft

    return daft


def _failures(daft: Any) -> tuple[type[Exception], ...]:
    return daft.exceptions.DaftCoreException, OSError, ValueError


def _relative(address: str, wanted: str) -> str:
    """`2024/a.jsonl` for `s3://bucket/crawl/2024/a.jsonl`, where `s3://bucket/crawl/**` was wanted."""
    match = _MAGIC.search(wanted)
    folder = wanted[: match.start()].rpartition("/")[0] + "/" if match else wanted.rstrip("/") + "/"
    return address.removeprefix(folder) if address.startswith(folder) else PurePosixPath(address).name


def _unreachable(address: str, reason: object) -> GroundupError:
    # Daft gives a chain of causes, `3: dns error`, the last of which says most; and this where it finds nothing.
    last = ([line.strip() for line in str(reason).splitlines() if line.strip()] or ["no reason is given"])[-1]
    last = "nothing is there" if "at least 1 MicroPartition" in last else re.sub(r"^\d+: ", "", last)
    return GroundupError(
        f"can't be read ({last})",
        where=address,
        do="check the address, this machine's network and the credentials, and run again: it resumes",
    )
