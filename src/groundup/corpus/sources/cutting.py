"""Big files in pieces that can be read apart: lines and articles by bytes, parquet by row groups, zip by members.

    rows.jsonl, 200 MB  ->  bytes 0 to 67,108,912 | to 134,217,801 | to the end, each cut just before a line

What is compressed as a whole can only be read from its beginning and is one piece.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from groundup.corpus.sources.configuration import Contents
from groundup.corpus.sources.door import parts_of
from groundup.corpus.sources.kinds import LOOKED_AT, sniff
from groundup.corpus.sources.piece import Piece
from groundup.corpus.sources.streams import COMPRESSED
from groundup.corpus.sources.walk import Found
from groundup.corpus.sources.wide import wide_encoding

_CHUNK = 1 << 20
# What follows each cut: the first line of an article. A line within an article that begins so would be no valid cut.
ARTICLE = b"<doc id="
PAGE = b"  <page>"  # as MediaWiki writes it


def pieces_of(file: Found, source: str, contents: Contents, piece_bytes: int) -> list[Piece]:
    """The pieces of one file, of about `piece_bytes` each.

    Args:
        file: as the walk found it.
        source: the source's name.
        contents: how the source's files are read.
        piece_bytes: what is larger than this is cut, if it can be.
    """
    try:
        size = file.path.stat().st_size if file.format else 0
    except OSError:
        size = 0
    one = Piece(source, str(file.path), file.relative, file.format, size, skipped=file.skipped)
    if size <= piece_bytes or file.path.suffix.lower() in COMPRESSED:
        return [one]
    has_lines = file.format == "jsonl" or (file.format == "text" and contents.documents == "line")
    if has_lines and not _can_be_cut(file.path, file.format):
        return [one]
    if has_lines:
        cuts = list(_line_cuts(file.path, piece_bytes, b""))
    elif file.format == "mediawiki" or (file.format == "xml" and _begins(file.path) == "mediawiki"):
        one = replace(one, format="mediawiki")
        cuts = list(_line_cuts(file.path, piece_bytes, PAGE))
    elif file.format == "wikipedia":
        cuts = list(_line_cuts(file.path, piece_bytes, ARTICLE))
    elif file.format in ("parquet", "zip"):
        parts = parts_of(file.path, file.format, contents)
        return by_size(one, [part.bytes for part in parts], [part.rows for part in parts], piece_bytes)
    else:
        return [one]
    starts = [(0, 0), *cuts]
    ends = [start for start, _ in cuts] + [size]
    return [
        Piece(source, one.address, one.relative, one.format, end - start, start, end, lines)
        for (start, lines), end in zip(starts, ends, strict=True)
    ]


def _can_be_cut(path: Path, format: str) -> bool:
    """Whether every line is a row, as far as the first one shows: JSON over several lines, and UTF-16, are not cut."""
    with path.open("rb") as file:
        start = file.read(_CHUNK)
    first_line, newline, _ = start.lstrip().partition(b"\n")
    ends_early = format == "jsonl" and newline and first_line.rstrip().endswith((b"{", b"[", b","))
    return not (ends_early or wide_encoding(start))


def _begins(path: Path) -> str:
    """The format by how the file begins."""
    with path.open("rb") as file:
        return sniff(file.read(LOOKED_AT))


def _line_cuts(path: Path, piece_bytes: int, begins: bytes) -> Iterator[tuple[int, int]]:
    """`(offset, lines before it)` of a line that begins with `begins`, the first after every `piece_bytes` or so."""
    offset = lines = 0  # of the chunk, and before it
    wanted, found = piece_bytes, b"\n" + begins
    rest = b""  # the last bytes of the chunk before, so that no match is missed between two
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            here, seam = rest + chunk, len(rest)
            base = offset - seam
            while wanted <= offset + len(chunk):
                cut = here.find(found, max(0, wanted - 1 - base)) + 1
                if cut == 0 or cut == len(here):
                    break  # none, or nothing of the line is there yet
                before = here.count(b"\n", seam, cut) if cut >= seam else -here.count(b"\n", cut, seam)
                yield base + cut, lines + before
                wanted = base + cut + piece_bytes
            lines += here.count(b"\n", seam)
            offset += len(chunk)
            rest = here[-len(found) :]


def by_size(file: Piece, sizes: list[int], rows: list[int], piece_bytes: int) -> list[Piece]:
    """Runs of parts of the file, each as many as reach `piece_bytes`."""
    found: list[Piece] = []
    start = size = first = 0
    for at, part in enumerate(sizes):
        size += part
        if size >= piece_bytes or at == len(sizes) - 1:
            found.append(Piece(file.source, file.address, file.relative, file.format, size, start, at + 1, first))
            first += sum(rows[start : at + 1])
            start, size = at + 1, 0
    return found or [file]
