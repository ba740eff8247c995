"""Files that lie elsewhere: object stores, web servers and Hugging Face data sets, listed and read through Daft.

The network is used for addresses that the user has written, and for nothing else. A file is fetched when its piece is
read, to a temporary file that goes when the piece is done: no more of a source lies here than is being read.
Credentials are those that the store's own tools use (environment, configuration files), as Daft finds them.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from groundup.corpus.sources.configuration import Remote
from groundup.corpus.sources.kinds import format_of
from groundup.corpus.sources.piece import Piece
from groundup.errors import GroundupError

_CHUNK = 1 << 22
_MAGIC = re.compile(r"[*?[]")


def remote_pieces(source: Remote, name: str) -> list[Piece]:
    """A piece for each file at the source's address, sorted by address.

    Raises:
        GroundupError: it can't be reached, or nothing is there.
    """
    daft = _daft()
    try:
        listed = daft.from_glob_path(source.address).to_pydict()
    except _failures(daft) as error:
        raise _unreachable(source.address, error) from error
    found = []
    for address, size in sorted(zip(listed["path"], listed["size"], strict=True)):
        relative = _relative(address, source.address)
        format = source.format or format_of(relative)[0]
        skipped = "" if format else "unsupported-type"
        found.append(Piece(name, address, relative, format, int(size or 0), skipped=skipped))
    return found


@contextmanager
def fetched(piece: Piece) -> Iterator[Path]:
    """The piece's file, here while it is being read.

    Raises:
        GroundupError: it can't be reached, or not to its end.
    """
    if not piece.format:
        yield Path(piece.relative)  # which nobody reads
        return
    daft = _daft()
    with tempfile.NamedTemporaryFile(suffix=PurePosixPath(piece.relative).suffix.lower()) as file:
        try:
            with daft.File(piece.address).open() as there:
                while chunk := there.read(_CHUNK):
                    file.write(chunk)
        except _failures(daft) as error:
            raise _unreachable(piece.address, error) from error
        if piece.bytes and file.tell() != piece.bytes:
            raise _unreachable(piece.address, f"{file.tell():,} of {piece.bytes:,} bytes came")
        file.flush()
        yield Path(file.name)


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
